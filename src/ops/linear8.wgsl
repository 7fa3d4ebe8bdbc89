// linear8.wgsl - operands of the linear kernels that take x in blocks of 32 signed bytes, as blocks8.wgsl writes them.

@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;       // [half blocks, m]: 16 codes
@group(0) @binding(2) var<storage, read> wdata: array<u32>;
@group(0) @binding(3) var<storage, read> wscales: array<u32>;
@group(0) @binding(4) var<storage, read> wmins: array<u32>;
@group(0) @binding(6) var<storage, read> xscales: array<vec2<u32>>; // [blocks, m]: scale, sums of the halves' codes

const BLOCKS: u32 = (K + 31u) / 32u;

// The sum of the codes of one half of a block.
fn half_sum(sums: u32, half: u32) -> i32 {
    return extractBits(i32(sums), 16u * half, 16u);
}

// d + the product of 16 codes of x and of w.
fn dot16(d: i32, a: vec4<u32>, b: vec4<u32>) -> i32 {
    var sum = d + dot4I8Packed(a.x, b.x);
    sum += dot4I8Packed(a.y, b.y);
    sum += dot4I8Packed(a.z, b.z);
    return sum + dot4I8Packed(a.w, b.w);
}

// The same of four rows of x.
fn dot16x4(d: vec4<i32>, a0: vec4<u32>, a1: vec4<u32>, a2: vec4<u32>, a3: vec4<u32>, b: vec4<u32>) -> vec4<i32> {
    return vec4<i32>(dot16(d.x, a0, b), dot16(d.y, a1, b), dot16(d.z, a2, b), dot16(d.w, a3, b));
}

// Words of half a block of row n as stored, and as signed bytes (4-bit codes: 0..15).
fn load_codes(n: u32, block: u32, half: u32) -> vec4<u32> {
    if (STORAGE == STORE_Q8) {
        let at = w_index(n, block * 8u + half * 4u, p.kw);
        return vec4<u32>(wdata[at], wdata[at + PACK_ROWS], wdata[at + 2u * PACK_ROWS], wdata[at + 3u * PACK_ROWS]);
    }
    let at = w_index(n, block * 4u + half * 2u, p.kw);
    return vec4<u32>(wdata[at], wdata[at + PACK_ROWS], 0u, 0u);
}

fn unpack_codes(words: vec4<u32>) -> vec4<u32> {
    if (STORAGE == STORE_Q8) {
        return words;
    }
    return vec4<u32>(words.x, words.x >> 4u, words.y, words.y >> 4u) & vec4<u32>(0x0F0F0F0Fu);
}
