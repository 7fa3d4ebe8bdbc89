// linear_x_int.wgsl - x of linear_gemv as fixed-point numbers of 23 bits with a scale for each unit, in three planes of
// signed bytes, so that four codes take one dot product of bytes for each plane. As much is kept of the largest number
// of a unit as a float keeps: the sums come out closer to the true ones than those of floats. Quantized storages only.

const MOST: f32 = 4161536.0; // 127 * 2^15

// Of a unit, elements 0..3 and 4..7: the two highest planes; the third, then the scale, and what begins a sum: the
// integer -8 sum(x) where code 8 is zero, the float -sum(x) where there are minimums.
var<workgroup> high_of: array<vec4<u32>, WG_X + WG_X / 8u>;
var<workgroup> rest_of: array<vec4<u32>, WG_X + WG_X / 8u>;

// One gap in eight: lanes that read steps apart meet different banks.
fn place(i: u32) -> u32 {
    return i + i / 8u;
}

// v * by rounded to integers, plus 0x808080: then byte i is digit i plus 128, all digits -128..127. The sum with
// 1.5 * 2^23 leaves the integer in the low bits.
fn digits(v: vec4<f32>, by: f32) -> vec4<u32> {
    return bitcast<vec4<u32>>(fma(v, vec4<f32>(by), vec4<f32>(12582912.0))) - (0x4B400000u - 0x00808080u);
}

struct Planes { high: u32, middle: u32, low: u32 }

// Signed digit i of the four.
fn planes_of(v: vec4<u32>) -> Planes {
    let even = v & vec4<u32>(0x00FF00FFu);
    let xy = even.x | (even.y << 8u);
    let zw = even.z | (even.w << 8u);
    let odd = (v >> vec4<u32>(8u)) & vec4<u32>(0xFFu);
    let middle = (odd.x | (odd.y << 8u)) | ((odd.z | (odd.w << 8u)) << 16u);
    return Planes(((xy >> 16u) | (zw & 0xFFFF0000u)) ^ 0x80808080u, middle ^ 0x80808080u,
                  ((xy & 0xFFFFu) | (zw << 16u)) ^ 0x80808080u);
}

fn keep_x(lane: u32, low: vec4<f32>, high: vec4<f32>) {
    // As integers, which order like the numbers and put NaN above all: max of floats may drop it.
    let size = max(bitcast<vec4<u32>>(low) & vec4<u32>(0x7FFFFFFFu), bitcast<vec4<u32>>(high) & vec4<u32>(0x7FFFFFFFu));
    let most = bitcast<f32>(max(max(size.x, size.y), max(size.z, size.w)));
    let inverse = select(MOST / most, 0.0, most < 1e-30);
    let scale = most / MOST;
    let a = digits(low, inverse);
    let b = digits(high, inverse);
    let both = a + b;
    let sum = bitcast<i32>((both.x + both.y) + (both.z + both.w) - 8u * 0x00808080u);
    let start = select(-8 * sum, bitcast<i32>(-f32(sum) * scale), STORAGE == STORE_Q4A);
    let p0 = planes_of(a);
    let p1 = planes_of(b);
    high_of[place(lane)] = vec4<u32>(p0.high, p1.high, p0.middle, p1.middle);
    rest_of[place(lane)] = vec4<u32>(p0.low, p1.low, bitcast<u32>(scale), bitcast<u32>(start));
}

// One row's codes 0..3 and 4..7 times the unit, without its scale.
fn dot_unit(a: u32, b: u32, x0: vec4<u32>, x1: vec4<u32>) -> f32 {
    let first = dot4I8Packed(a, x0.x) + dot4I8Packed(b, x0.y);
    let second = dot4I8Packed(a, x0.z) + dot4I8Packed(b, x0.w);
    var rest = second * 256 + dot4I8Packed(a, x1.x) + dot4I8Packed(b, x1.y);
    if (STORAGE == STORE_Q8) { // as an integer it may pass 32 bits
        return fma(f32(first), 65536.0, f32(rest));
    }
    if (STORAGE == STORE_Q4) {
        rest += bitcast<i32>(x1.w);
    }
    return f32(first * 65536 + rest);
}

// acc + a step of w times units slot, slot + 1, ... of x.
fn add_step(acc: vec4<f32>, s: ptr<function, Step>, quad: u32, first: u32, slot: u32) -> vec4<f32> {
    var total = acc;
    for (var r = 0u; r < RUNS; r++) {
        var sum = vec4<f32>();
        var start = 0.0;
        for (var i = r * RUN; i < (r + 1u) * RUN; i++) {
            let x0 = high_of[place(slot + i)];
            let x1 = rest_of[place(slot + i)];
            var a = (*s).words[i * UNIT_WORDS];
            var b = (*s).words[(i + 1u) * UNIT_WORDS - 1u];
            if (STORAGE != STORE_Q8) {
                a &= vec4<u32>(0x0F0F0F0Fu);
                b = (b >> vec4<u32>(4u)) & vec4<u32>(0x0F0F0F0Fu);
            }
            let product = vec4<f32>(dot_unit(a.x, b.x, x0, x1), dot_unit(a.y, b.y, x0, x1),
                                    dot_unit(a.z, b.z, x0, x1), dot_unit(a.w, b.w, x0, x1));
            sum = fma(product, vec4<f32>(bitcast<f32>(x1.z)), sum);
            start += bitcast<f32>(x1.w);
        }
        total = fma(sum, scales_of((*s).scales[r]), total);
        if (STORAGE == STORE_Q4A) {
            total = fma(scales_of((*s).mins[r]), vec4<f32>(start), total);
        }
    }
    return total;
}
