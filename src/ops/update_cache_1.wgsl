// update_cache_1.wgsl - word by word, for rows that are not whole vec4s.
alias Unit = u32;
