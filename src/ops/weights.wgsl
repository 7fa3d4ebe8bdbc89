// weights.wgsl - element access to a packed matrix w[N,K] (layout: src/format/pack.h).
// The including file declares the sections  wdata, wscales, wmins: array<u32>  (read-only storage) and its row the
// constants  STORAGE (enum qn_storage), GROUP, SCALE_F16.  kw: words a row; groups: scale groups a row.

const PACK_ROWS: u32 = 16u; // QN_PACK_ROWS

// Elements of a 32-bit word.
const W_ELEMENTS: u32 = select(select(select(8u, 4u, STORAGE == STORE_Q8), 2u, STORAGE == STORE_F16 || STORAGE == STORE_BF16), 1u, STORAGE == STORE_F32);

// Index of word `word` of row n in the data section (and of group g in a scales section, with kw = groups).
fn w_index(n: u32, word: u32, kw: u32) -> u32 {
    return ((n / PACK_ROWS) * kw + word) * PACK_ROWS + n % PACK_ROWS;
}

fn w_scale_at(n: u32, g: u32, groups: u32) -> f32 {
    let i = w_index(n, g, groups);
    if (SCALE_F16 == 1u) {
        return unpack2x16float(wscales[i / 2u])[i % 2u];
    }
    return bitcast<f32>(wscales[i]);
}

fn w_min_at(n: u32, g: u32, groups: u32) -> f32 {
    let i = w_index(n, g, groups);
    if (SCALE_F16 == 1u) {
        return unpack2x16float(wmins[i / 2u])[i % 2u];
    }
    return bitcast<f32>(wmins[i]);
}

// The stored number of element e of a word, before scale and minimum.
fn w_code(word: u32, e: u32) -> f32 {
    if (STORAGE == STORE_F32) {
        return bitcast<f32>(word);
    }
    if (STORAGE == STORE_F16) {
        return unpack2x16float(word)[e];
    }
    if (STORAGE == STORE_BF16) {
        return bitcast<f32>(select(word << 16u, word & 0xFFFF0000u, e == 1u));
    }
    if (STORAGE == STORE_Q8) {
        return f32(extractBits(i32(word), 8u * e, 8u));
    }
    let nibble = extractBits(word, 8u * (e % 4u) + 4u * (e / 4u), 4u);
    return f32(nibble) - select(0.0, 8.0, STORAGE == STORE_Q4);
}

// w[n, k]
fn w_at(n: u32, k: u32, kw: u32, groups: u32) -> f32 {
    let code = w_code(wdata[w_index(n, k / W_ELEMENTS, kw)], k % W_ELEMENTS);
    if (!W_QUANTIZED) {
        return code;
    }
    let g = k / GROUP;
    let value = code * w_scale_at(n, g, groups);
    if (STORAGE == STORE_Q4A) {
        return value - w_min_at(n, g, groups);
    }
    return value;
}
