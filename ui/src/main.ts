import { mount } from "svelte";
import "./app.css";
import App from "./App.svelte";
import { load } from "./i18n/i18n";

const target = document.getElementById("life");
void load().then(() => {
  if (target) mount(App, { target });
});
