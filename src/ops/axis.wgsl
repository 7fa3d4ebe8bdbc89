// axis.wgsl - parameters of kernels whose windows move over a picture (src/ops/axis.h).

// Input o * stride - padding + k * dilation meets output o, k < taps.
struct Axis {
    input: i32,
    output: i32,
    taps: i32,
    stride: i32,
    padding: i32,
    dilation: i32,
    pad0: i32, // structures in uniform memory begin at multiples of 16 bytes
    pad1: i32,
}

struct Conv {
    h: Axis,
    w: Axis,
    n: u32,            // invocations
    groups: u32,
    channels_in: u32,  // of a group
    channels_out: u32, // of a group
    blocks: u32,       // of output channels in a group
    columns: u32,      // blocks of output columns in a row
    first: u32,        // input channels of a group to sum: first .. last - 1
    last: u32,
}

// What an invocation computes.
struct Block {
    image: u32,
    g: u32,  // group
    oc: u32, // first output channel, in the group
    row: i32,
    column: i32,
}

fn conv_block(c: Conv, i: u32, outputs: u32, columns: u32) -> Block {
    var b: Block;
    b.column = i32(i % c.columns * columns);
    var rest = i / c.columns;
    b.row = i32(rest % u32(c.h.output));
    rest /= u32(c.h.output);
    b.oc = rest % c.blocks * outputs;
    rest /= c.blocks;
    b.g = rest % c.groups;
    b.image = rest / c.groups;
    return b;
}
