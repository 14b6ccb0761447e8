import { init } from "@plausible-analytics/tracker";
init({ domain: "shop.example", endpoint: location.origin + "/told", captureOnLocalhost: true });
