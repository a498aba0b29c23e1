package strictyaml

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// Decode fills the struct that into points to and returns what is wrong, nil
// when nothing is. Fields are named by their `yaml` tags; `inline` fields are
// part of the struct around them. What has no problem is filled even when
// other parts have. A type decodes itself by encoding.TextUnmarshaler (from a
// text value) or yaml.InterfaceUnmarshaler; no other hooks are called.
func (d *Document) Decode(into any) Problems {
	dec := decoder{doc: d}
	if d.body == nil {
		return nil
	}
	dec.value(d.body, reflect.ValueOf(into).Elem(), "", 0)
	return dec.problems
}

type decoder struct {
	doc      *Document
	nodes    int
	problems Problems
}

func (d *decoder) fail(n ast.Node, path, format string, args ...any) {
	if len(d.problems) < maxProblems {
		d.problems = append(d.problems, d.doc.problem(n, path, fmt.Sprintf(format, args...)))
	}
}

// resolve follows aliases and looks through anchors. It reports nil, having
// said why, when there is nothing to decode.
func (d *decoder) resolve(n ast.Node, path string, depth int) ast.Node {
	d.nodes++
	if d.nodes > maxNodes || depth > maxDepth {
		if d.nodes <= maxNodes+1 {
			d.fail(n, path, "too much: at most %d values in %d levels are read, with aliases expanded", maxNodes, maxDepth)
		}
		return nil
	}
	switch t := n.(type) {
	case *ast.AnchorNode:
		return d.resolve(t.Value, path, depth+1)
	case *ast.AliasNode:
		name := t.Value.GetToken().Value
		target, ok := d.doc.anchors[name]
		if !ok {
			d.fail(n, path, "alias *%s: there is no anchor &%s", name, name)
			return nil
		}
		return d.resolve(target, path, depth+1)
	case *ast.TagNode:
		d.fail(n, path, "tags such as %s are not read: remove it", t.GetToken().Value)
		return nil
	case *ast.NullNode, nil:
		d.fail(n, path, "is empty: give it a value or remove the key")
		return nil
	}
	return n
}

var (
	textType   = reflect.TypeFor[encoding.TextUnmarshaler]()
	customType = reflect.TypeFor[yaml.InterfaceUnmarshaler]()
)

func (d *decoder) value(n ast.Node, v reflect.Value, path string, depth int) {
	place := n
	if n = d.resolve(n, path, depth); n == nil {
		return
	}
	d.doc.at[path] = n
	if _, alias := place.(*ast.AliasNode); alias {
		d.doc.at[path] = place
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch ptr := reflect.PointerTo(v.Type()); {
	case ptr.Implements(textType):
		d.text(n, v.Addr().Interface().(encoding.TextUnmarshaler), path)
	case ptr.Implements(customType):
		d.custom(n, v.Addr().Interface().(yaml.InterfaceUnmarshaler), path, depth)
	default:
		d.kind(n, v, path, depth)
	}
}

func (d *decoder) kind(n ast.Node, v reflect.Value, path string, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, path, depth)
	case reflect.Map:
		d.mapping(n, v, path, depth)
	case reflect.Slice:
		d.sequence(n, v, path, depth)
	case reflect.Interface:
		d.open(n, v, path, depth)
	default:
		d.scalar(n, v, path)
	}
}

// text hands a text value to a type that reads it.
func (d *decoder) text(n ast.Node, into encoding.TextUnmarshaler, path string) {
	s, ok := textOf(n)
	if !ok {
		d.fail(n, path, "wants text, not %s%s", describe(n), quoteHint(n))
		return
	}
	if err := into.UnmarshalText([]byte(s)); err != nil {
		d.fail(n, path, "%s", err)
	}
}

// custom lets a type decode itself; it may try several shapes, and only what
// it returns counts.
func (d *decoder) custom(n ast.Node, into yaml.InterfaceUnmarshaler, path string, depth int) {
	err := into.UnmarshalYAML(func(target any) error {
		try := decoder{doc: d.doc, nodes: d.nodes}
		try.value(n, reflect.ValueOf(target).Elem(), path, depth+1)
		d.nodes = try.nodes
		return try.problems.Err()
	})
	switch err := err.(type) {
	case nil:
	case Problems:
		d.problems = append(d.problems, err...)
	default:
		d.fail(n, path, "%s", err)
	}
}

// entries are the pairs of a mapping, whatever the node calls itself.
func entries(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	return nil, false
}

// key is a pair's key as text; false, having said why, when it has none.
func (d *decoder) key(e *ast.MappingValueNode, path string) (string, bool) {
	switch k := e.Key.(type) {
	case *ast.MergeKeyNode:
		d.fail(k, path, "merge keys (<<) are not read: write the keys out, or alias a whole value")
		return "", false
	case *ast.StringNode:
		return k.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return k.GetToken().Value, true
	}
	d.fail(e, path, "wants a plain key")
	return "", false
}

func (d *decoder) structure(n ast.Node, v reflect.Value, path string, depth int) {
	pairs, ok := entries(n)
	if !ok {
		d.fail(n, path, "wants keys with values, not %s", describe(n))
		return
	}
	fields := fieldsOf(v.Type())
	for _, e := range pairs {
		name, ok := d.key(e, path)
		if !ok {
			continue
		}
		index, known := fields[name]
		if !known {
			d.fail(e, Join(path, name), "%s", unknownKey(name, fields))
			continue
		}
		d.value(e.Value, v.FieldByIndex(index), Join(path, name), depth+1)
	}
}

func (d *decoder) mapping(n ast.Node, v reflect.Value, path string, depth int) {
	pairs, ok := entries(n)
	if !ok {
		d.fail(n, path, "wants keys with values, not %s", describe(n))
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), min(len(pairs), 1024))
	for _, e := range pairs {
		name, ok := d.key(e, path)
		if !ok {
			continue
		}
		elem := reflect.New(v.Type().Elem()).Elem()
		d.value(e.Value, elem, Join(path, name), depth+1)
		out.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), elem)
	}
	v.Set(out)
}

func (d *decoder) sequence(n ast.Node, v reflect.Value, path string, depth int) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fail(n, path, "wants a list, not %s: put it in [ ]", describe(n))
		return
	}
	out := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, item := range seq.Values {
		d.value(item, out.Index(i), fmt.Sprintf("%s[%d]", path, i), depth+1)
	}
	v.Set(out)
}

// open decodes into an empty interface: text, number, truth value, list or map.
func (d *decoder) open(n ast.Node, v reflect.Value, path string, depth int) {
	var into reflect.Value
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		into = reflect.New(reflect.TypeFor[map[string]any]()).Elem()
	case *ast.SequenceNode:
		into = reflect.New(reflect.TypeFor[[]any]()).Elem()
	case *ast.BoolNode:
		into = reflect.New(reflect.TypeFor[bool]()).Elem()
	case *ast.IntegerNode:
		into = reflect.New(reflect.TypeFor[int64]()).Elem()
	case *ast.FloatNode:
		into = reflect.New(reflect.TypeFor[float64]()).Elem()
	default:
		into = reflect.New(reflect.TypeFor[string]()).Elem()
	}
	d.kind(n, into, path, depth)
	v.Set(into)
}

func (d *decoder) scalar(n ast.Node, v reflect.Value, path string) {
	var want string
	ok := false
	switch v.Kind() {
	case reflect.String:
		want = "text"
		var s string
		if s, ok = textOf(n); ok {
			v.SetString(s)
		}
	case reflect.Bool:
		want = "true or false"
		var b *ast.BoolNode
		if b, ok = n.(*ast.BoolNode); ok {
			v.SetBool(b.Value)
		}
	case reflect.Int, reflect.Int64, reflect.Int32:
		want = "a whole number"
		ok = setInt(n, v)
	case reflect.Float64:
		want = "a number"
		ok = setFloat(n, v)
	default:
		want = "something this program can't read"
	}
	if !ok {
		hint := ""
		if want == "text" {
			hint = quoteHint(n)
		}
		d.fail(n, path, "wants %s, not %s%s", want, describe(n), hint)
	}
}

func setInt(n ast.Node, v reflect.Value) bool {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		return false
	}
	var x int64
	switch t := i.Value.(type) {
	case int64:
		x = t
	case uint64:
		if t > math.MaxInt64 {
			return false
		}
		x = int64(t)
	}
	if v.OverflowInt(x) {
		return false
	}
	v.SetInt(x)
	return true
}

func setFloat(n ast.Node, v reflect.Value) bool {
	switch t := n.(type) {
	case *ast.FloatNode:
		v.SetFloat(t.Value)
		return true
	case *ast.IntegerNode:
		switch x := t.Value.(type) {
		case int64:
			v.SetFloat(float64(x))
		case uint64:
			v.SetFloat(float64(x))
		}
		return true
	}
	return false
}

// textOf is the text of a text value.
func textOf(n ast.Node) (string, bool) {
	switch t := n.(type) {
	case *ast.StringNode:
		return t.Value, true
	case *ast.LiteralNode:
		return t.Value.Value, true
	}
	return "", false
}

// describe names a node's shape, never its content: that may be a secret.
func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys with values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.BoolNode:
		return "true or false"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	}
	return "this"
}

func quoteHint(n ast.Node) string {
	switch n.(type) {
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode:
		return ": put it in quotes"
	}
	return ""
}

// Join adds a key to a path.
func Join(path, key string) string {
	if key == "" || strings.ContainsAny(key, ".[]\" \t\n:") || len(key) > 64 {
		if len(key) > 64 {
			key = strings.ToValidUTF8(key[:64], "") + "…"
		}
		return fmt.Sprintf("%s[%q]", path, key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
