import { enableActivityTracking, newTracker, trackPageView } from "@snowplow/browser-tracker";
import { SnowplowElementTrackingPlugin, startElementTracking } from "@snowplow/browser-plugin-element-tracking";
newTracker("sp", location.origin, { appId: "shop", encodeBase64: false, eventMethod: "post", bufferSize: 1, plugins: [SnowplowElementTrackingPlugin()] });
enableActivityTracking({ minimumVisitLength: 1, heartbeatDelay: 1 });
startElementTracking({ elements: [...document.querySelectorAll("[data-plait-section]")].map((one) => ({ name: one.dataset.plaitSection, selector: `[data-plait-section=${one.dataset.plaitSection}]`, expose: { when: "element" }, includeStats: ["page_ping"] })) });
trackPageView();
