import "./elements";
import "./more";
export { api as plait, init } from "./plait";
export * from "./plait";
export type * from "./types";
