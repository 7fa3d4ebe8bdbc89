// pool.wgsl - the maximum or mean of windows of x[planes, H, W]: y[planes, Ho, Wo], one element an invocation. With
// axis.wgsl.
struct Params {
    h: Axis,
    w: Axis,
    n: u32,               // elements of y
    include_padding: u32, // the mean divides by all that the padded window covers
    divisor: f32,         // what the mean divides by; 0: by the elements
    lowest: f32,          // minus infinity, of which WGSL has no literal
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> indices: array<i32>;

struct Place {
    plane: u32, // element of x that the plane begins with
    row: i32,   // of x, of the window's first tap: may be in the padding
    column: i32,
}

fn place(i: u32) -> Place {
    let wide = u32(p.w.output);
    let row = i / wide;
    let high = u32(p.h.output);
    let plane = row / high;
    return Place(plane * u32(p.h.input * p.w.input), i32(row - plane * high) * p.h.stride - p.h.padding,
                 i32(i - row * wide) * p.w.stride - p.w.padding);
}

// The first of the greatest elements: its value and its index in the plane. Without any element in the picture, the
// place where the window would begin.
struct Greatest {
    value: f32,
    at: i32,
}

fn first_inside(start: i32, step: i32) -> i32 {
    if (start >= 0) {
        return start;
    }
    return start + (step - 1 - start) / step * step;
}

fn greatest(i: u32) -> Greatest {
    let at = place(i);
    let row0 = first_inside(at.row, p.h.dilation);
    let column0 = first_inside(at.column, p.w.dilation);
    let row_end = min(at.row + p.h.taps * p.h.dilation, p.h.input);
    let column_end = min(at.column + p.w.taps * p.w.dilation, p.w.input);
    var best = Greatest(p.lowest, row0 * p.w.input + column0);
    for (var row = row0; row < row_end; row += p.h.dilation) {
        for (var column = column0; column < column_end; column += p.w.dilation) {
            let k = row * p.w.input + column;
            let v = x[at.plane + u32(k)];
            if (v > best.value) {
                best = Greatest(v, k);
            }
        }
    }
    return best;
}

@compute @workgroup_size(WG_X)
fn maximum(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
           @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * grid.x + group.x) * WG_X + lane;
    if (i < p.n) {
        y[i] = greatest(i).value;
    }
}

@compute @workgroup_size(WG_X)
fn maximum_and_index(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
                     @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * grid.x + group.x) * WG_X + lane;
    if (i < p.n) {
        let best = greatest(i);
        y[i] = best.value;
        indices[i] = best.at;
    }
}

@compute @workgroup_size(WG_X)
fn mean(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * grid.x + group.x) * WG_X + lane;
    if (i >= p.n) {
        return;
    }
    let at = place(i);
    let padded = (min(at.row + p.h.taps, p.h.input + p.h.padding) - at.row) *
                 (min(at.column + p.w.taps, p.w.input + p.w.padding) - at.column);
    let row0 = max(at.row, 0);
    let column0 = max(at.column, 0);
    let row_end = min(at.row + p.h.taps, p.h.input);
    let column_end = min(at.column + p.w.taps, p.w.input);
    var sum = 0.0;
    for (var row = row0; row < row_end; row++) {
        for (var column = column0; column < column_end; column++) {
            sum += x[at.plane + u32(row * p.w.input + column)];
        }
    }
    let inside = max(row_end - row0, 0) * max(column_end - column0, 0);
    var divisor = p.divisor;
    if (divisor == 0.0) {
        divisor = f32(select(inside, padded, p.include_padding == 1u));
    }
    y[i] = select(0.0, sum / divisor, inside > 0);
}
