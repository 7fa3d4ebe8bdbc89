// item1.wgsl - kernels written over items, with one element in an item (row constant ITEM = 1).
alias Item = f32;

fn item_dot(a: Item, b: Item) -> f32 {
    return a * b;
}
