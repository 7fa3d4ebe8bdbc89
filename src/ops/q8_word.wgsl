// q8_word.wgsl - sums of q8_linear.wgsl where rows of x and w are whole words of four weights.
@group(0) @binding(1) var<storage, read> x: array<vec4<i32>>;

fn four(word: i32) -> vec4<i32> {
    return vec4<i32>(extractBits(word, 0u, 8u), extractBits(word, 8u, 8u), extractBits(word, 16u, 8u),
                     extractBits(word, 24u, 8u));
}

fn sum_of(row: u32, o: vec4<u32>) -> vec4<i32> {
    var sum = vec4<i32>(0);
    let words = p.k / 4u;
    for (var k = 0u; k < words; k++) {
        let v = x[row * words + k] - p.input_zero;
        let at = o * (p.row / 4u) + k;
        sum += vec4<i32>(dot(v, four(w[at.x])), dot(v, four(w[at.y])), dot(v, four(w[at.z])), dot(v, four(w[at.w])));
    }
    return sum;
}
