// blocks8.wgsl - x[M, K] as blocks of 32 signed bytes along K with a scale each: x = code * scale, |code| <= 127, where
// the largest of a block is 127. With NORM x is first normalized: x / sqrt(mean(x^2) + eps) * norm[K]. A workgroup a
// row of x, an invocation a block. The order is that of the kernels' tiles: neighbouring rows are neighbours.
struct Params {
    m: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;             // [m, K]
@group(0) @binding(2) var<storage, read> norm: array<vec4<f32>>;          // [K]
@group(0) @binding(3) var<storage, read_write> codes: array<vec4<u32>>;   // [half blocks, m]: 16 codes
@group(0) @binding(4) var<storage, read_write> scales: array<vec2<f32>>;  // [blocks, m]: scale, scale * sum of codes

const K4: u32 = K / 4u;
const BLOCKS: u32 = (K + 31u) / 32u;

var<workgroup> partial: array<f32, WG_X>;

fn load_x(row: u32, i: u32) -> vec4<f32> {
    if (K % 32u != 0u && i >= K4) {
        return vec4<f32>();
    }
    return x[row * K4 + i];
}

// 1 / sqrt(mean(x^2) + eps) of the row, in the same order of sums for every row.
fn row_factor(row: u32, lane: u32) -> f32 {
    var squares = 0.0;
    for (var i = lane; i < K4; i += WG_X) {
        let v = x[row * K4 + i];
        squares += dot(v, v);
    }
    partial[lane] = squares;
    workgroupBarrier();
    var sum = 0.0;
    for (var i = 0u; i < WG_X; i++) {
        sum += partial[i];
    }
    return inverseSqrt(sum / f32(K) + p.eps);
}

fn peak_of(v: vec4<f32>) -> u32 { // bits: they order like the numbers, NaN above all
    let a = bitcast<vec4<u32>>(v) & vec4<u32>(0x7FFFFFFFu);
    return max(max(a.x, a.y), max(a.z, a.w));
}

fn write_block(row: u32, block: u32, factor: f32) {
    var v: array<vec4<f32>, 8>;
    var bits = 0u;
    for (var i = 0u; i < 8u; i++) {
        v[i] = load_x(row, block * 8u + i);
        if (NORM == 1u) {
            v[i] = v[i] * factor * norm[min(block * 8u + i, K4 - 1u)];
        }
        bits = max(bits, peak_of(v[i]));
    }
    let peak = bitcast<f32>(bits);
    let inverse = select(0.0, 127.0 / peak, peak > 0.0);
    var sum = 0;
    for (var h = 0u; h < 2u; h++) {
        var words = vec4<u32>();
        for (var i = 0u; i < 4u; i++) {
            words[i] = pack4xI8(vec4<i32>(round(v[4u * h + i] * inverse)));
            sum += dot4I8Packed(words[i], 0x01010101u);
        }
        codes[(2u * block + h) * p.m + row] = words;
    }
    scales[block * p.m + row] = vec2<f32>(1.0, f32(sum)) * (peak / 127.0);
}

@compute @workgroup_size(WG_X)
fn blocks8(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
           @builtin(local_invocation_index) lane: u32) {
    let row = group.y * grid.x + group.x;
    if (row >= p.m) {
        return;
    }
    var factor = 1.0;
    if (NORM == 1u) {
        factor = row_factor(row, lane);
    }
    for (var block = lane; block < BLOCKS; block += WG_X) {
        write_block(row, block, factor);
    }
}
