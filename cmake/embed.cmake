# Writes shaders.c: a table of the WGSL sources by file name (without folder and ending).
# Bytes instead of string literals: C promises no literal longer than 4,095 characters.
set(text "#include \"gpu/shaders.h\"\n\n")
set(table "")
foreach(file IN LISTS FILES)
  get_filename_component(name "${file}" NAME_WE)
  file(READ "${file}" hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" bytes "${bytes}")
  string(APPEND text "static const unsigned char source_${name}[] = {\n${bytes}0};\n\n")
  string(APPEND table "    {\"${name}\", (const char *)source_${name}},\n")
endforeach()
string(APPEND text "const qn_shader_source qn_shader_sources[] = {\n${table}    {0, 0},\n};\n")
file(WRITE "${OUT}" "${text}")
