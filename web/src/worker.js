// The worker in which the core runs, so that the page never waits for it.

import { hostMethods } from "./host.js";
import { serve } from "./rpc.js";

serve(globalThis, hostMethods());
