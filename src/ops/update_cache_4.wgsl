// update_cache_4.wgsl - four words at a time.
alias Unit = vec4<u32>;
