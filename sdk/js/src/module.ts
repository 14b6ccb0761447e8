export * from "./plait";
export type * from "./types";
