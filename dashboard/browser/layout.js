// Bokeh answers each change of a layout, a widget hidden or a box resized, by laying out and painting every
// picture of every tab: half a second and more. Here the style sheet lays out the boxes; a card measures its
// pictures when they change their size, and a box is laid out anew when what its layout is made of has moved.
const {LayoutDOMView} = Bokeh.require("models/layouts/layout_dom"), {PlotView} = Bokeh.require("models/plots/plot_canvas");
const MADE_OF = ["width", "height", "min_width", "min_height", "max_width", "max_height", "margin", "width_policy", "height_policy", "flow_mode", "sizing_mode", "aspect_ratio", "align"];
const sizing = (model) => JSON.stringify(MADE_OF.map((name) => model[name]));
const children = (view) => view.child_views.map((child) => child.model.id).join();
const known = new WeakMap();
const remember = (view) => known.set(view, {sizing: sizing(view.model), children: children(view)});

// the card's axes stand below one another: pictures of one box are measured together
function measure(box) {
  box.measure_layout();
  for (const view of [...box.layoutable_views, box]) view.update_bbox();
  box._compute_layout();
  box.after_layout();
}
function* cards(view) {
  const below = view.layoutable_views;
  if (below.some((child) => child instanceof PlotView)) yield view;
  else for (const child of below) yield* cards(child);
}
function visit(view, answer) {
  answer(view);
  for (const child of view.layoutable_views) visit(child, answer);
}

// Each has an observer of its own: a picture that learns its new size from another's would keep the old layout.
// One that has only moved keeps it.
const own = Object.getPrototypeOf(LayoutDOMView.prototype).update_bbox;
LayoutDOMView.prototype.update_bbox = function () {
  const {width, height} = this.bbox;
  own.call(this);
  if (this.layout) this.layout.visible = this.is_displayed;
  return width !== this.bbox.width || height !== this.bbox.height;
};
LayoutDOMView.prototype.compute_layout = function () {
  this._layout_computed = true;
  if (this instanceof PlotView) measure(this.is_managed ? this.parent : this);
};
LayoutDOMView.prototype.invalidate_layout = function () {
  const before = known.get(this), picture = this instanceof PlotView;
  const moved = before?.sizing !== sizing(this.model);
  if (before && !picture && !moved && before.children === children(this)) return;
  // a box says to its children how they stretch
  const box = (moved || picture) && this.is_managed ? this.parent : this;
  visit(box, remember);
  box.update_layout();
  for (const card of cards(box)) measure(card);
};
// the page itself has a way of its own, which measures all that is on it
for (const root of Bokeh.index.roots)
  for (let kind = Object.getPrototypeOf(root); kind && kind !== LayoutDOMView.prototype; kind = Object.getPrototypeOf(kind))
    for (const name of ["compute_layout", "invalidate_layout"]) if (Object.hasOwn(kind, name)) kind[name] = LayoutDOMView.prototype[name];
for (const view of Bokeh.index.roots) if (view instanceof LayoutDOMView) visit(view, remember);
