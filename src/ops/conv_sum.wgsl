// conv_sum.wgsl - what convolutions share whose sums are Items: operands, what a sum begins with, and where it ends.
// Node: HAS_BIAS, CLAMP. With axis.wgsl and item1.wgsl or item4.wgsl.
struct Params {
    c: Conv,
    low: f32, // of the clamp
    high: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Item>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<Item>;

// The bias, or what an earlier dispatch has summed.
fn begin(channel: u32, at: u32) -> Item {
    if (p.c.first != 0u) {
        return y[at];
    }
    if (HAS_BIAS == 1u) {
        return Item(bias[channel]);
    }
    return Item(0.0);
}

fn finish(at: u32, sum: Item) {
    if (CLAMP == 1u && p.c.last == p.c.channels_in) {
        y[at] = clamp(sum, Item(p.low), Item(p.high));
    } else {
        y[at] = sum;
    }
}
