// attention_softmax.wgsl - weights[t, 0..ctx) becomes its softmax over the columns that query t sees, in place; the
// masked columns become exactly 0, whatever they held. The largest score is subtracted first, so nothing overflows,
// and it is among the summed ones, so the sum is at least 1.

@group(0) @binding(1) var<storage, read_write> weights: array<f32>; // [n_kv, n_t, ctx]

const LOWEST: f32 = -3.4028234e38;

// One invocation a query, for software devices.
@compute @workgroup_size(WG_X)
fn softmax_each(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
                @builtin(local_invocation_id) local: vec3<u32>) {
    let tile = tile_at(workgroup, grid, 1u);
    let t = tile.t0 + local.x;
    if (!tile.live || t >= p.n_t) {
        return;
    }
    let n = visible(t);
    let base = weights_at(tile.kv, t);
    var top = LOWEST;
    for (var c = 0u; c < n; c++) {
        top = max(top, weights[base + c]);
    }
    var sum = 0.0;
    for (var c = 0u; c < n; c++) {
        let e = exp(weights[base + c] - top);
        sum += e;
        weights[base + c] = e;
    }
    let factor = 1.0 / sum;
    for (var c = 0u; c < n; c++) {
        weights[base + c] *= factor;
    }
    for (var c = n; c < p.ctx; c++) {
        weights[base + c] = 0.0;
    }
}

// One workgroup a query (TILE_T = 1). WG_X is a power of two.
var<workgroup> partial: array<f32, WG_X>;

fn fold(lane: u32, value: f32, largest: bool) -> f32 {
    partial[lane] = value;
    workgroupBarrier();
    for (var half = WG_X / 2u; half > 0u; half /= 2u) {
        if (lane < half) {
            let other = partial[lane + half];
            partial[lane] = select(partial[lane] + other, max(partial[lane], other), largest);
        }
        workgroupBarrier();
    }
    let all = partial[0];
    workgroupBarrier(); // all have read it before the next fold writes
    return all;
}

@compute @workgroup_size(WG_X)
fn softmax_row(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
               @builtin(local_invocation_id) local: vec3<u32>) {
    let tile = tile_at(workgroup, grid, 1u);
    if (!tile.live) {
        return;
    }
    let n = visible(tile.t0);
    let base = weights_at(tile.kv, tile.t0);
    var top = LOWEST;
    for (var c = local.x; c < n; c += WG_X) {
        top = max(top, weights[base + c]);
    }
    top = fold(local.x, top, true);
    // Every invocation reads and writes its own columns only: no barrier on the storage is needed.
    var sum = 0.0;
    for (var c = local.x; c < n; c += WG_X) {
        let e = exp(weights[base + c] - top);
        sum += e;
        weights[base + c] = e;
    }
    let factor = 1.0 / fold(local.x, sum, false);
    for (var c = local.x; c < p.ctx; c += WG_X) {
        var value = 0.0;
        if (c < n) {
            value = weights[base + c] * factor;
        }
        weights[base + c] = value;
    }
}
