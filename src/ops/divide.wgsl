// divide.wgsl - division that rounds to the nearest float, ties to even, on every device: WGSL's may be off by 2.5 units
// in the last place.

// a / b of numbers that are not negative, b a normal one. A quotient below the normal floats is given as 0.
fn divide(a: f32, b: f32) -> f32 {
    let a_bits = bitcast<u32>(a);
    let b_bits = bitcast<u32>(b);
    if (a_bits >= 0x7f800000u) {
        return a;
    }
    if (a_bits < 0x00800000u || b_bits >= 0x7f800000u) {
        return 0.0;
    }
    var rest = (a_bits & 0x7fffffu) | 0x800000u;
    let divisor = (b_bits & 0x7fffffu) | 0x800000u;
    var exponent = i32(a_bits >> 23u) - i32(b_bits >> 23u) + 127;
    if (rest < divisor) {
        rest <<= 1u;
        exponent--;
    }
    var quotient = 0u; // 24 bits, the first of which is 1, by long division
    for (var i = 0u; i < 24u; i++) {
        quotient <<= 1u;
        if (rest >= divisor) {
            rest -= divisor;
            quotient |= 1u;
        }
        rest <<= 1u;
    }
    // `rest` is now twice what is left: compared with the divisor it says on which side of the middle the rest lies.
    if (rest > divisor || (rest == divisor && (quotient & 1u) == 1u)) {
        quotient++; // a carry into the exponent below is right, too
    }
    if (exponent <= 0) {
        return 0.0;
    }
    return bitcast<f32>(min((u32(exponent) << 23u) + (quotient - 0x800000u), 0x7f800000u));
}
