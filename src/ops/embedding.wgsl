// embedding.wgsl - y[T, K] = w[ids[T], K] for the rows row0 .. row0 + n_rows - 1 of w that one part holds. A
// workgroup takes a token, a lane ITEM elements at a time: their words and scales are asked for at once. Tokens of other
// parts are left to their dispatches. Node: STORAGE, GROUP, SCALE_F16.
struct Params {
    n_tokens: u32, // T
    k: u32,        // elements of a row
    n: u32,        // rows of the whole matrix
    row0: u32,
    n_rows: u32,
    words: u32,    // words of a row
    groups: u32,   // scale groups of a row
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> wdata: array<u32>;
@group(0) @binding(2) var<storage, read> wscales: array<u32>;
@group(0) @binding(3) var<storage, read> wmins: array<u32>;
@group(0) @binding(4) var<storage, read> ids: array<i32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG_X)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let token = group.y * grid.x + group.x;
    if (token >= p.n_tokens) {
        return;
    }
    let id = u32(clamp(ids[token], 0, i32(p.n) - 1));
    if (id < p.row0 || id >= p.row0 + p.n_rows) {
        return;
    }
    let row = id - p.row0;
    for (var first = lane * ITEM; first < p.k; first += WG_X * ITEM) {
        var v: array<f32, ITEM>;
        for (var i = 0u; i < ITEM; i++) {
            v[i] = w_at(row, min(first + i, p.k - 1u), p.words, p.groups);
        }
        for (var i = 0u; i < ITEM; i++) {
            if (first + i < p.k) {
                y[token * p.k + first + i] = v[i];
            }
        }
    }
}
