// functions.wgsl - the functions of functions.def that are more than an expression, over items (element1 or element4).
// Arguments of exp are bounded because WGSL promises nothing about infinities; comparisons that a NaN fails let it pass.

fn is_nan(x: F) -> B {
    return (bitcast<U>(x) & U(0x7fffffffu)) > U(0x7f800000u);
}

fn bound(x: F, low: F, high: F) -> F {
    let y = select(x, low, x < low);
    return select(y, high, y > high);
}

// To the nearest integer towards zero, saturating; 0 for a NaN. 2147483520 is the largest f32 below 2^31.
fn to_integer(x: F) -> I {
    let y = I(bound(select(x, F(0.0), is_nan(x)), F(-2147483648.0), F(2147483520.0)));
    return select(y, I(2147483647), x >= F(2147483648.0));
}

fn sigmoid(x: F) -> F {
    return F(1.0) / (F(1.0) + exp(bound(-x, F(-87.0), F(87.0))));
}

// (1 - e) / (1 + e) with e = exp(-2|x|), and for small x, where 1 - e cancels, the series of tanh to x^9.
fn stable_tanh(x: F) -> F {
    let z = abs(x);
    let e = exp(-2.0 * min(z, F(10.0)));
    let q = min(z * z, F(1.0));
    let near = z * (1.0 - q * (1.0 / 3.0 - q * (2.0 / 15.0 - q * (17.0 / 315.0 - q * (62.0 / 2835.0)))));
    let y = select((1.0 - e) / (1.0 + e), near, z < F(0.25));
    return select(select(y, -y, x < F(0.0)), x, is_nan(x));
}

// exp(x) - 1 for x < 0, without its cancellation near 0: 2 t / (1 - t) with t = tanh(x / 2).
fn exp_minus_1(x: F) -> F {
    let t = stable_tanh(0.5 * x);
    return 2.0 * t / (1.0 - t);
}

// x Phi(x) = max(x, 0) - |x| erfc(|x| / sqrt 2) / 2, which cancels nowhere; erfc by Abramowitz and Stegun 7.1.26
// (error below 1.5e-7).
fn gelu(x: F) -> F {
    let z = abs(x) * 0.70710678;
    let t = 1.0 / (1.0 + 0.3275911 * z);
    let sum = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    let tail = 0.5 * sum * exp(-min(z * z, F(87.0)));
    return select(x, F(0.0), x <= F(0.0)) - min(abs(x), F(30.0)) * tail;
}

// 0.5 x (1 + tanh(u)) = x / (1 + exp(-2u)), u = sqrt(2 / pi) (x + 0.044715 x^3)
fn gelu_tanh(x: F) -> F {
    let z = bound(x, F(-20.0), F(20.0));
    let u = 0.79788456 * (z + 0.044715 * z * z * z);
    return x / (F(1.0) + exp(bound(-2.0 * u, F(-87.0), F(87.0))));
}

// WGSL promises for sin and cos an error of 2^-11, and none at all outside of -pi..pi. Here: x = k pi/2 + r with pi/2 in
// three parts of few bits, then the series of sine and cosine for |r| <= pi/4. Beyond 65536 the device's own serve.
fn sine_from(x: F, quarters: i32) -> F {
    let k = round(bound(x, F(-65536.0), F(65536.0)) * 0.63661977);
    let r = ((x - k * 1.5703125) - k * 4.837512969970703e-4) - k * 7.549789954891882e-8;
    let z = r * r;
    let s = r - r * z * (1.0 / 6.0 - z * (1.0 / 120.0 - z * (1.0 / 5040.0 - z * (1.0 / 362880.0))));
    let c = 1.0 - z * (0.5 - z * (1.0 / 24.0 - z * (1.0 / 720.0 - z * (1.0 / 40320.0 - z * (1.0 / 3628800.0)))));
    let q = I(k) + I(quarters);
    let y = select(s, c, (q & I(1)) == I(1));
    return select(y, -y, (q & I(2)) == I(2));
}

fn sine(x: F) -> F {
    return select(sine_from(x, 0), sin(x), abs(x) > F(65536.0));
}

fn cosine(x: F) -> F {
    return select(sine_from(x, 1), cos(x), abs(x) > F(65536.0));
}

// ---- powers ------------------------------------------------------------------------------------

// x^n for whole n by repeated squaring: exact where the result is a small integer.
fn power_whole(x: F, n: i32) -> F {
    var y = F(1.0);
    var base = x;
    for (var left = u32(abs(n)); left != 0u; left >>= 1u) {
        if ((left & 1u) == 1u) {
            y *= base;
        }
        base *= base;
    }
    if (n < 0) {
        return 1.0 / y;
    }
    return y;
}

// x^e = 2^(e log2 |x|); a negative x takes whole exponents only, and its sign for odd ones.
fn power(x: F, e: F) -> F {
    let whole = e == trunc(e);
    let odd = whole & ((I(bound(e, F(-16777216.0), F(16777216.0))) & I(1)) == I(1));
    let zero = select(F(0.0), 1.0 / abs(x), e < F(0.0));
    let size = select(exp2(e * log2(abs(x))), zero, x == F(0.0));
    let y = select(size, -size, odd & (x < F(0.0)));
    let real = select(y, F(bitcast<f32>(p.nan)), (x < F(0.0)) & !whole);
    return select(real, F(1.0), (e == F(0.0)) | (x == F(1.0)));
}

// Wraps as products do; of a negative exponent only 1 and -1 have a whole power.
fn power_i32(x: I, e: I) -> I {
    var y = I(1);
    var base = x;
    var left = U(e);
    for (var bit = 0u; bit < 31u; bit++) {
        y = select(y, y * base, (left & U(1u)) == U(1u));
        base *= base;
        left = left >> U(1u);
    }
    let unit = select(select(I(0), select(I(1), I(-1), (e & I(1)) == I(1)), x == I(-1)), I(1), x == I(1));
    return select(y, unit, e < I(0));
}

// ---- whole quotients ---------------------------------------------------------------------------

struct Quotient {
    q: F,
    r: F,
}

// x - q d for q d near x: the product's rounding error is found from halves of 12 bits, whose products are exact (fma
// need not be fused).
fn rest_of(x: F, q: F, d: F) -> F {
    let product = q * d;
    let q_high = bitcast<F>(bitcast<U>(q) & U(0xfffff000u));
    let d_high = bitcast<F>(bitcast<U>(d) & U(0xfffff000u));
    let q_low = q - q_high;
    let d_low = d - d_high;
    let error = ((q_high * d_high - product) + q_high * d_low + q_low * d_high) + q_low * d_low;
    return (x - product) - error;
}

// |x| = q |d| + r with whole q and 0 <= r < |d|, exact while q is below 2^24: the device's quotient may be off by one.
fn divide_sizes(x: F, d: F) -> Quotient {
    let size = abs(d);
    let q = floor(abs(x) / size);
    let r = rest_of(abs(x), q, size);
    let over = r >= size;
    let under = r < F(0.0);
    return Quotient(select(select(q, q + 1.0, over), q - 1.0, under), select(select(r, r - size, over), r + size, under));
}

fn divide_trunc(x: F, d: F) -> F {
    let q = divide_sizes(x, d).q;
    return select(select(q, -q, (x < F(0.0)) != (d < F(0.0))), x / d, d == F(0.0));
}

fn divide_floor(x: F, d: F) -> F {
    let by = divide_sizes(x, d);
    let below = select(-by.q - 1.0, -by.q, by.r == F(0.0));
    return select(select(by.q, below, (x < F(0.0)) != (d < F(0.0))), x / d, d == F(0.0));
}

// With the sign of x.
fn modulo_trunc(x: F, d: F) -> F {
    let r = divide_sizes(x, d).r;
    return select(r, -r, x < F(0.0));
}

// With the sign of d.
fn modulo_floor(x: F, d: F) -> F {
    let m = modulo_trunc(x, d);
    return select(m, m + d, !(m == F(0.0)) & ((m < F(0.0)) != (d < F(0.0))));
}

// Not x % d: what that gives for negative operands Vulkan leaves open, and drivers differ.
fn modulo_trunc_i32(x: I, d: I) -> I {
    return x - x / d * d;
}

fn divide_floor_i32(x: I, d: I) -> I {
    let m = modulo_trunc_i32(x, d);
    let q = x / d;
    return select(q, q - I(1), (m != I(0)) & ((m < I(0)) != (d < I(0))));
}

fn modulo_floor_i32(x: I, d: I) -> I {
    let m = modulo_trunc_i32(x, d);
    return select(m, m + d, (m != I(0)) & ((m < I(0)) != (d < I(0))));
}
