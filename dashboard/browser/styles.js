// Before anything is drawn. Bokeh asks the browser for its styles all the time: at each glyph's colour and width,
// which no style sheet here sets, and at each label for the size of type, which stays. That is more than half of
// a painting.
Bokeh.require("core/visuals/visual").VisualProperties.prototype._get_css_value = () => "";
const Plot = Bokeh.require("models/plots/plot_canvas").PlotView.prototype;
const type_size = Object.getOwnPropertyDescriptor(Plot, "base_font_size").get;
Object.defineProperty(Plot, "base_font_size", {get() { return this.type_size ??= type_size.call(this); }});
