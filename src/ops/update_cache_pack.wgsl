// update_cache_pack.wgsl - writes rows into a cache of another type than f32. Spec: KV_TYPE, UNIT.

struct Params {
    n: u32,            // units to write
    src: u32,          // first row of x
    dst: u32,          // its row in the bound window of the cache
    row_elements: u32, // H * D
    row_words: u32,    // of the cache
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;            // [S, H, D]
@group(0) @binding(2) var<storage, read_write> cache: array<u32>;  // [window, H, D]

struct Target {
    row: u32,
}

fn source4(to: Target, e: u32) -> vec4<f32> {
    let at = (p.src + to.row) * p.row_elements + e;
    return vec4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
}

fn put(to: Target, word: u32, value: u32) {
    cache[(p.dst + to.row) * p.row_words + word] = value;
}

@compute @workgroup_size(WG_X)
fn update_cache_pack(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
                     @builtin(local_invocation_id) local: vec3<u32>) {
    let i = (workgroup.y * grid.x + workgroup.x) * WG_X + local.x;
    if (i >= p.n) {
        return;
    }
    let units = (p.row_elements + UNIT - 1u) / UNIT;
    store_unit(Target(i / units), i % units);
}
