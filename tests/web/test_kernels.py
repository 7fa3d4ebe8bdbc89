"""Every kernel compiles in Firefox, on the software Vulkan."""
import web

web.need_node()
web.need_firefox()
web.run("kernels")
