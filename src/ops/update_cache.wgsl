// update_cache.wgsl - copies rows into a cache as bits, so that also a NaN keeps its payload. Unit is u32 or
// vec4<u32> (update_cache_1.wgsl, update_cache_4.wgsl).

struct Params {
    n: u32,   // units to copy
    src: u32, // first unit in x
    dst: u32, // first unit in the bound window of the cache
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Unit>;            // [S, H, D]
@group(0) @binding(2) var<storage, read_write> cache: array<Unit>;  // [window, H, D]

@compute @workgroup_size(WG_X)
fn update_cache(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
                @builtin(local_invocation_id) local: vec3<u32>) {
    let i = (workgroup.y * grid.x + workgroup.x) * WG_X + local.x;
    if (i < p.n) {
        cache[p.dst + i] = x[p.src + i];
    }
}
