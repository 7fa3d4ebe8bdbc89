// elementwise.wgsl - y = FUNCTION(a, b), one item an invocation. Row: ITEM (with item1 or item4); node: FUNCTION
// (enum function of elementwise.c). silu reads no b.
struct Params {
    n: u32, // items
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<Item>;
@group(0) @binding(2) var<storage, read> b: array<Item>;
@group(0) @binding(3) var<storage, read_write> y: array<Item>;

// x / (1 + exp(-x)). The exponent is bounded because WGSL promises nothing about infinities; at x = -87 the result
// is already 1e-36.
fn silu(x: Item) -> Item {
    return x / (Item(1.0) + exp(min(-x, Item(87.0))));
}

@compute @workgroup_size(WG_X)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * grid.x + group.x) * WG_X + lane;
    if (i >= p.n) {
        return;
    }
    switch FUNCTION {
        case 0u: {
            y[i] = a[i] + b[i];
        }
        case 1u: {
            y[i] = a[i] * b[i];
        }
        case 2u: {
            y[i] = silu(a[i]);
        }
        default: {
            y[i] = silu(a[i]) * b[i];
        }
    }
}
