// matmul.wgsl - what the kernels of batch_matmul share. A workgroup makes a tile of TILE_M x TILE_N outputs of one
// matrix. Node: TRANSPOSE_B (b is [N, K] instead of [K, N]). The next file declares a and b and gives a4 and b4: four
// neighbours of a line, zero at and past its end.

struct Params {
    m: u32,
    n: u32,
    k: u32,
    tiles_m: u32, // of one matrix
    tiles_n: u32,
    groups: u32,  // workgroups: matrices * tiles
    inner: u32,   // size of the inner batch dimension
    a_outer: u32, // elements from batch to batch; 0: the same matrix for all
    a_inner: u32,
    b_outer: u32,
    b_inner: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [batches, M, N]

struct Tile {
    m: u32, // its first output
    n: u32,
    a: u32, // where the matrices begin
    b: u32,
    y: u32,
}

fn tile_of(group: u32) -> Tile {
    let tiles = p.tiles_m * p.tiles_n;
    let matrix = group / tiles;
    let at = group % tiles;
    let outer = matrix / p.inner;
    let inner = matrix % p.inner;
    return Tile((at / p.tiles_n) * TILE_M, (at % p.tiles_n) * TILE_N, outer * p.a_outer + inner * p.a_inner,
                outer * p.b_outer + inner * p.b_inner, matrix * p.m * p.n);
}

// a[m, k .. k+3]. Rows past the last repeat it and are not stored.
fn a_quad(t: Tile, m: u32, k: u32) -> vec4<f32> {
    return a4(t.a + min(m, p.m - 1u) * p.k, k);
}

// Column i: a[m + i, k .. k+3].
fn a_block(t: Tile, m: u32, k: u32) -> mat4x4<f32> {
    return mat4x4<f32>(a_quad(t, m, k), a_quad(t, m + 1u, k), a_quad(t, m + 2u, k), a_quad(t, m + 3u, k));
}

fn b_row(t: Tile, k: u32, n: u32) -> vec4<f32> {
    if (k >= p.k) {
        return vec4<f32>();
    }
    return b4(t.b + k * p.n, n, p.n);
}

fn b_column(t: Tile, n: u32, k: u32) -> vec4<f32> {
    return b4(t.b + min(n, p.n - 1u) * p.k, k, p.k);
}

// Column i: b[k + i, n .. n+3], so that y[m, n .. n+3] += b_block * a_quad.
fn b_block(t: Tile, n: u32, k: u32) -> mat4x4<f32> {
    if (TRANSPOSE_B == 1u) {
        return transpose(mat4x4<f32>(b_column(t, n, k), b_column(t, n + 1u, k), b_column(t, n + 2u, k),
                                     b_column(t, n + 3u, k)));
    }
    return mat4x4<f32>(b_row(t, k, n), b_row(t, k + 1u, n), b_row(t, k + 2u, n), b_row(t, k + 3u, n));
}

fn store(t: Tile, m: u32, n: u32, sum: vec4<f32>) {
    if (m >= p.m) {
        return;
    }
    let v = sum * p.scale;
    let at = t.y + m * p.n + n;
    if (n < p.n) {
        y[at] = v.x;
    }
    if (n + 1u < p.n) {
        y[at + 1u] = v.y;
    }
    if (n + 2u < p.n) {
        y[at + 2u] = v.z;
    }
    if (n + 3u < p.n) {
        y[at + 3u] = v.w;
    }
}
