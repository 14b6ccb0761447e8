// Everything, for a tag: the core, and what reads more out of a page or draws into it.
import "./drawn";
import "./elements";
import "./more";
import { start } from "./tag";

start(document.currentScript as HTMLScriptElement);
