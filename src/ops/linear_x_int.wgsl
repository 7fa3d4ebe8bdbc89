// linear_x_int.wgsl - x of linear_gemv as fixed-point numbers of 23 bits with a scale for each unit, or for a few, in
// three planes of signed bytes, so that four codes take one dot product of bytes for each plane. As much is kept of the
// largest number with that scale as a float keeps: the sums come out closer to the true ones than those of floats.
// Quantized storages only.
//
// With it comes linear_share_memory or linear_share_shuffle: ALIKE, the units that share a scale (aligned in the step),
// most_of, the largest of their lanes' numbers, share_unit, which gives a unit to the lanes that take the same step, and
// unit_of_step.

const MOST: f32 = 4161536.0; // 127 * 2^15; 32 of them times a code of 15 stay below 2^31

// Elements 0..3 and 4..7: the two highest planes; the lowest, the sum of the integers, and their scale.
struct Unit { high: vec4<u32>, rest: vec4<u32> }

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

fn keep_x(at: Place, i: u32, v: Halves) {
    // As integers, which order like the numbers and put NaN above all: max of floats may drop it.
    let size = max(bitcast<vec4<u32>>(v.low) & vec4<u32>(0x7FFFFFFFu), bitcast<vec4<u32>>(v.high) & vec4<u32>(0x7FFFFFFFu));
    let most = bitcast<f32>(most_of(max(max(size.x, size.y), max(size.z, size.w))));
    let inverse = select(MOST / most, 0.0, most < 1e-30);
    let a = digits(v.low, inverse);
    let b = digits(v.high, inverse);
    let both = a + b;
    let sum = (both.x + both.y) + (both.z + both.w) - 8u * 0x00808080u;
    let p0 = planes_of(a);
    let p1 = planes_of(b);
    share_unit(at, i, Unit(vec4<u32>(p0.high, p1.high, p0.middle, p1.middle),
                           vec4<u32>(p0.low, p1.low, sum, bitcast<u32>(most / MOST))));
}

// d + four rows' codes times four elements.
fn add_dots(d: vec4<i32>, codes: vec4<u32>, x: u32) -> vec4<i32> {
    return d + vec4<i32>(dot4I8Packed(codes.x, x), dot4I8Packed(codes.y, x), dot4I8Packed(codes.z, x),
                         dot4I8Packed(codes.w, x));
}

// acc + a step of w times the step's units of x.
fn add_step(acc: vec4<f32>, s: ptr<function, Step>, quad: u32, first: u32, slot: u32) -> vec4<f32> {
    var total = acc;
    for (var r = 0u; r < RUNS; r++) {
        var sum = vec4<f32>();
        var start = 0.0;
        for (var j = r * RUN; j < (r + 1u) * RUN; j += ALIKE) {
            var high = vec4<i32>();
            var middle = vec4<i32>();
            var low = vec4<i32>();
            var sum_of_x = 0;
            var scale = 0.0;
            for (var i = j; i < j + ALIKE; i++) {
                var a = (*s).words[i * UNIT_WORDS];
                var b = (*s).words[(i + 1u) * UNIT_WORDS - 1u];
                if (STORAGE != STORE_Q8) {
                    a &= vec4<u32>(0x0F0F0F0Fu);
                    b = (b >> vec4<u32>(4u)) & vec4<u32>(0x0F0F0F0Fu);
                }
                let x = unit_of_step(slot, i);
                high = add_dots(add_dots(high, a, x.high.x), b, x.high.y);
                middle = add_dots(add_dots(middle, a, x.high.z), b, x.high.w);
                low = add_dots(add_dots(low, a, x.rest.x), b, x.rest.y);
                sum_of_x += bitcast<i32>(x.rest.z);
                scale = bitcast<f32>(x.rest.w);
            }
            var product: vec4<f32>;
            if (STORAGE == STORE_Q8) { // as an integer it may pass 32 bits
                product = fma(vec4<f32>(high), vec4<f32>(65536.0), vec4<f32>(middle * 256 + low));
            } else if (STORAGE == STORE_Q4) { // code 8 is zero
                product = vec4<f32>((high * 65536 + middle * 256) + (low - 8 * sum_of_x));
            } else {
                product = vec4<f32>(high * 65536 + middle * 256 + low);
                start -= f32(sum_of_x) * scale;
            }
            sum = fma(product, vec4<f32>(scale), sum);
        }
        total = fma(sum, scales_of((*s).scales[r]), total);
        if (STORAGE == STORE_Q4A) {
            total = fma(scales_of((*s).mins[r]), vec4<f32>(start), total);
        }
    }
    return total;
}
