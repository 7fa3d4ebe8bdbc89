// storage.wgsl - names for the constant STORAGE of a packed matrix (enum qn_storage in src/format/pack.h).

const STORE_F32: u32 = 0u;
const STORE_F16: u32 = 1u;
const STORE_BF16: u32 = 2u;
const STORE_Q8: u32 = 3u;
const STORE_Q4: u32 = 4u;
const STORE_Q4A: u32 = 5u;
const W_QUANTIZED: bool = STORAGE >= STORE_Q8;
