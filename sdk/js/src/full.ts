// The core by itself, for a tag: sections, forms, queue, consent, personalize().
import { start } from "./tag";

start(document.currentScript as HTMLScriptElement);
