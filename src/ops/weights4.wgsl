// weights4.wgsl - four neighbouring rows of a packed matrix at once (layout: src/format/pack.h).
// The including file declares  wdata: array<vec4<u32>>,  wscales, wmins: array<vec2<u32>>,  p.kw; its row the constants
// STORAGE, GROUP, SCALE_F16, K. A quad is rows 4q..4q+3 of the part; a unit 8 elements along K.

// Words of a unit.
const UNIT_WORDS: u32 = select(select(select(1u, 2u, STORAGE == STORE_Q8), 4u, STORAGE == STORE_F16 || STORAGE == STORE_BF16), 8u, STORAGE == STORE_F32);

// Scale groups of a row.
const GROUPS: u32 = (K + GROUP - 1u) / GROUP;

// Index of word `word` of a quad (in vec4), or of group g of a scales section with `stride` groups a row.
fn quad_index(quad: u32, word: u32, stride: u32) -> u32 {
    return ((quad >> 2u) * stride + word) * 4u + (quad & 3u);
}

// The words of the scales (or minimums) of a quad's four rows in the group of element k, and what they stand for.
fn quad_scale_words(quad: u32, k: u32) -> vec4<u32> {
    let i = quad_index(quad, min(k / GROUP, GROUPS - 1u), GROUPS);
    if (SCALE_F16 == 1u) {
        return vec4<u32>(wscales[i], vec2<u32>());
    }
    return vec4<u32>(wscales[2u * i], wscales[2u * i + 1u]);
}

fn quad_min_words(quad: u32, k: u32) -> vec4<u32> {
    let i = quad_index(quad, min(k / GROUP, GROUPS - 1u), GROUPS);
    if (SCALE_F16 == 1u) {
        return vec4<u32>(wmins[i], vec2<u32>());
    }
    return vec4<u32>(wmins[2u * i], wmins[2u * i + 1u]);
}

fn scales_of(words: vec4<u32>) -> vec4<f32> {
    if (SCALE_F16 == 1u) {
        return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
    }
    return bitcast<vec4<f32>>(words);
}

fn quad_scale(quad: u32, k: u32) -> vec4<f32> {
    return scales_of(quad_scale_words(quad, k));
}

fn quad_min(quad: u32, k: u32) -> vec4<f32> {
    return scales_of(quad_min_words(quad, k));
}

// Elements j and j + 4 (j 0..3) of the unit at vec4 index `at`, each for four rows; before scale and minimum.
struct pair { low: vec4<f32>, high: vec4<f32> }

fn nibbles(word: vec4<u32>, shift: u32) -> vec4<f32> {
    let code = vec4<f32>((word >> vec4<u32>(shift)) & vec4<u32>(15u));
    if (STORAGE == STORE_Q4) {
        return code - 8.0;
    }
    return code;
}

fn signed_byte(word: vec4<u32>, shift: u32) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(word << vec4<u32>(24u - shift)) >> vec4<u32>(24u));
}

fn half_of(word: vec4<u32>, odd: u32) -> vec4<f32> {
    if (STORAGE == STORE_BF16) {
        return bitcast<vec4<f32>>(select(word << vec4<u32>(16u), word & vec4<u32>(0xFFFF0000u), odd == 1u));
    }
    let h = (word >> vec4<u32>(16u * odd)) & vec4<u32>(0xFFFFu);
    return vec4<f32>(unpack2x16float(h.x).x, unpack2x16float(h.y).x, unpack2x16float(h.z).x, unpack2x16float(h.w).x);
}

// Of the words that hold element j and element j + 4 (of 4-bit codes one word, `first`, holds both).
fn codes_of(first: vec4<u32>, second: vec4<u32>, j: u32) -> pair {
    if (STORAGE == STORE_Q4 || STORAGE == STORE_Q4A) {
        return pair(nibbles(first, 8u * j), nibbles(first, 8u * j + 4u));
    }
    if (STORAGE == STORE_Q8) {
        return pair(signed_byte(first, 8u * j), signed_byte(second, 8u * j));
    }
    if (STORAGE == STORE_F32) {
        return pair(bitcast<vec4<f32>>(first), bitcast<vec4<f32>>(second));
    }
    return pair(half_of(first, j % 2u), half_of(second, j % 2u));
}

// The unit's words as loaded: `first` holds word 0, the others are read where the storage needs them.
fn unit_pair(at: u32, first: vec4<u32>, j: u32) -> pair {
    if (STORAGE == STORE_Q4 || STORAGE == STORE_Q4A) {
        return codes_of(first, first, j);
    }
    if (STORAGE == STORE_Q8) {
        return codes_of(first, wdata[at + 4u], j);
    }
    let word = j * UNIT_WORDS / 8u;
    return codes_of(wdata[at + 4u * word], wdata[at + 4u * word + 2u * UNIT_WORDS], j);
}
