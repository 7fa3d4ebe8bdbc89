"""The functions of webgpu.h in JavaScript, and the core over them: web/test on Dawn and SwiftShader, the software driver of
Chromium. The built-in model gives the same logits and greedy tokens as natively."""
import web

web.need_node()
web.need_dawn()
web.need_module()
web.run("layouts", "imports", "glue", "tokens")
