"""The API and the demo page in Firefox on the software Vulkan, headless."""
import web

web.need_node()
web.need_firefox()
web.need_module()
web.run("firefox")
