// item4.wgsl - kernels written over items, with four elements in an item (row constant ITEM = 4).
alias Item = vec4<f32>;

fn item_dot(a: Item, b: Item) -> f32 {
    return dot(a, b);
}
