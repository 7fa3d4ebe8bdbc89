// norm.wgsl - rms_norm: y[R, E] = x / sqrt(mean(x^2) + eps) * w[E], a workgroup a row. Row: ITEM (with item1 or
// item4), FAN (lanes that gather the partial sums, a divisor of WG_X).
struct Params {
    rows: u32,  // R
    items: u32, // items of a row
    e: u32,     // elements of a row
    eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Item>;
@group(0) @binding(2) var<storage, read> w: array<Item>;
@group(0) @binding(3) var<storage, read_write> y: array<Item>;

var<workgroup> partial: array<f32, WG_X>;
var<workgroup> gathered: array<f32, FAN>;

// The sum over the workgroup of every lane's number, in two steps of sums instead of log2(WG_X) barriers; one step
// where FAN is the whole workgroup.
fn workgroup_sum(number: f32, lane: u32) -> f32 {
    var sum = 0.0;
    partial[lane] = number;
    workgroupBarrier();
    if (FAN == WG_X) {
        for (var i = 0u; i < FAN; i++) {
            sum += partial[i];
        }
        return sum;
    }
    if (lane < FAN) {
        for (var i = lane; i < WG_X; i += FAN) {
            sum += partial[i];
        }
        gathered[lane] = sum;
    }
    workgroupBarrier();
    sum = 0.0;
    for (var i = 0u; i < FAN; i++) {
        sum += gathered[i];
    }
    return sum;
}

@compute @workgroup_size(WG_X)
fn rms_norm(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
            @builtin(local_invocation_index) lane: u32) {
    let row = group.y * grid.x + group.x;
    if (row >= p.rows) {
        return;
    }
    let at = row * p.items;
    var squares = 0.0;
    for (var i = lane; i < p.items; i += WG_X) {
        let v = x[at + i];
        squares += item_dot(v, v);
    }
    let scale = inverseSqrt(workgroup_sum(squares, lane) / f32(p.e) + p.eps);
    for (var i = lane; i < p.items; i += WG_X) {
        y[at + i] = x[at + i] * scale * w[i];
    }
}
