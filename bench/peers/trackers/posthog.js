import posthog from "posthog-js";
posthog.init("key", { api_host: location.origin, capture_pageleave: true, autocapture: false, disable_compression: true, disable_session_recording: true, advanced_disable_flags: true, opt_out_useragent_filter: true });
