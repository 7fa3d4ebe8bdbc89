// lines.wgsl - where the lines of a tensor lie (the elements that are reduced into one, or normalized together), and
// how the lanes of a line share it. Row: LANES (of a line; a divisor of WG_X), ITEM (words of an item).
// The kernel defines `alias Part` and `fn combine(how: u32, a: Part, b: Part) -> Part`.
struct Params {
    lines: u32,
    items: u32,    // of a line
    elements: u32, // of a line
    n_across: u32, // dimensions that say which line
    n_along: u32,  // dimensions within a line
    number: f32,   // of the function: eps, correction
    a: u32,        // of the kernel
    b: u32,
    // Innermost first: size and stride (in items) of a dimension across lines, then of one along them; an absent
    // dimension has size 1.
    dims: array<vec4<u32>, 4>,
}

@group(0) @binding(0) var<uniform> p: Params;

// One invocation's place. Lanes of a workgroup that has no line left repeat the last one, so that all meet at barriers.
struct Place {
    line: u32,
    at: u32,    // item at which the line begins
    lane: u32,  // in the line
    first: u32, // lane 0 of the line, in the workgroup
    live: bool, // there is such a line
}

fn line_start(line: u32) -> u32 {
    var rest = line;
    var at = 0u;
    for (var i = 0u; i < p.n_across; i++) {
        let size = p.dims[i].x;
        let next = rest / size;
        at += (rest - next * size) * p.dims[i].y;
        rest = next;
    }
    return at;
}

fn place_of(group: vec3<u32>, grid: vec3<u32>, local: u32) -> Place {
    let lane = local % LANES;
    let index = (group.y * grid.x + group.x) * (WG_X / LANES) + local / LANES;
    let line = min(index, p.lines - 1u);
    return Place(line, line_start(line), lane, local - lane, index < p.lines);
}

// Where item i of a line lies, from its start. Without a loop: a software device counts the iterations.
fn item_offset(i: u32) -> u32 {
    if (p.n_along <= 1u) {
        return i * p.dims[0].w;
    }
    let a = i / p.dims[0].z;
    let b = a / p.dims[1].z;
    let c = b / p.dims[2].z;
    return (i - a * p.dims[0].z) * p.dims[0].w + (a - b * p.dims[1].z) * p.dims[1].w +
           (b - c * p.dims[2].z) * p.dims[2].w + c * p.dims[3].w;
}

const FAN: u32 = 16u; // lanes that gather the parts of a wide workgroup

var<workgroup> parts: array<Part, WG_X>;

// The parts of all lanes of the line, combined in a fixed order. All invocations call it.
fn gather(how: u32, part: Part, t: Place) -> Part {
    if (LANES == 1u) {
        return part;
    }
    workgroupBarrier(); // an earlier gather has been read
    parts[t.first + t.lane] = part;
    workgroupBarrier();
    var n = LANES;
    if (LANES > 2u * FAN) {
        n = FAN;
        var some = parts[t.first + t.lane % FAN];
        if (t.lane < FAN) {
            for (var i = t.lane + FAN; i < LANES; i += FAN) {
                some = combine(how, some, parts[t.first + i]);
            }
        }
        workgroupBarrier();
        if (t.lane < FAN) {
            parts[t.first + t.lane] = some;
        }
        workgroupBarrier();
    }
    var all = parts[t.first];
    for (var i = 1u; i < n; i++) {
        all = combine(how, all, parts[t.first + i]);
    }
    return all;
}
