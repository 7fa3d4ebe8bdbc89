// elementwise.wgsl - y = f(a, b, c) with broadcasting, one item an invocation. Row: ITEM (with element1 or element4, and
// functions). elementwise.c writes apply(), the function of the node (functions.def) on the words of its operands.
//
// The elements of y in row-major order are those of a shape of `rank` dimensions, the innermost first; each has its size
// and the strides of a, b and c (0: broadcast). The innermost stride is 0 or 1, and an item never crosses that dimension.
struct Params {
    n: u32,     // items
    rank: u32,  // 1 or more
    first: u32, // element of y where its binding begins
    s: u32,     // numbers of the node, of the operands' type
    t: u32,
    nan: u32,   // bits of a NaN: WGSL has no constant for it
    back: vec4<u32>, // elements of a, b and c before their bindings
    dims: array<vec4<u32>, 8>,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<U>;
@group(0) @binding(2) var<storage, read> b: array<U>;
@group(0) @binding(3) var<storage, read> c: array<U>;
@group(0) @binding(4) var<storage, read_write> y: array<U>;

// Elements of a, b and c for element i of y.
fn operands_of(i: u32) -> vec3<u32> {
    var rest = i;
    var at = vec3<u32>(0u);
    for (var d = 0u; d + 1u < p.rank; d++) {
        let dim = p.dims[d];
        let next = rest / dim.x;
        at += (rest - next * dim.x) * dim.yzw;
        rest = next;
    }
    return at + rest * p.dims[p.rank - 1u].yzw - p.back.xyz;
}

@compute @workgroup_size(WG_X)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * grid.x + group.x) * WG_X + lane;
    if (i >= p.n) {
        return;
    }
    let at = operands_of(p.first + i * ITEM);
    let step = p.dims[0];
    y[i] = apply(pick(a[at.x / ITEM], at.x, step.y), pick(b[at.y / ITEM], at.y, step.z),
                 pick(c[at.z / ITEM], at.z, step.w));
}
