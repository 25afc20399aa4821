// New text lays nothing else out: Bokeh's own answer measures every axis of the page anew, 10 ms. A word
// that has the focus keeps it.
const view = Bokeh.index.find_one(cb_obj);
if (view != null) view.rerender = () => {
  const {term, why} = view.shadow_el.activeElement?.dataset ?? {};
  view.markup_el.innerHTML = view.model.text;
  if (term || why) view.shadow_el.querySelector(term ? `[data-term="${term}"]` : `[data-why="${why}"]`)?.focus();
};
