// q8_byte.wgsl - sums of q8_linear.wgsl for rows of any length, a weight at a time.
@group(0) @binding(1) var<storage, read> x: array<i32>;

fn weight(at: u32) -> i32 {
    return extractBits(w[at / 4u], at % 4u * 8u, 8u);
}

fn sum_of(row: u32, o: vec4<u32>) -> vec4<i32> {
    var sum = vec4<i32>(0);
    for (var k = 0u; k < p.k; k++) {
        let at = o * p.row + k;
        sum += (x[row * p.k + k] - p.input_zero) * vec4<i32>(weight(at.x), weight(at.y), weight(at.z), weight(at.w));
    }
    return sum;
}
