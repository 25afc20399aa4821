// New text lays nothing else out: Bokeh's own answer measures every axis of the page anew, 10 ms.
const view = Bokeh.index.find_one(cb_obj);
if (view != null) view.rerender = () => { view.markup_el.innerHTML = view.model.text; };
