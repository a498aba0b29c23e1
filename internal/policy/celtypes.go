package policy

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// provider tells CEL about the objects of the vocabulary; for the rest it
// asks the standard registry.
type provider struct{ *types.Registry }

// FindStructType implements types.Provider.
func (p provider) FindStructType(name string) (*types.Type, bool) {
	if _, ok := objects[name]; ok {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Registry.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (p provider) FindStructFieldNames(name string) ([]string, bool) {
	if o, ok := objects[name]; ok {
		return slices.Sorted(maps.Keys(o.fields)), true
	}
	return p.Registry.FindStructFieldNames(name)
}

// FindStructFieldType implements types.Provider.
func (p provider) FindStructFieldType(name, fieldName string) (*types.FieldType, bool) {
	o, ok := objects[name]
	if !ok {
		return p.Registry.FindStructFieldType(name, fieldName)
	}
	f, ok := o.fields[fieldName]
	if !ok {
		return nil, false
	}
	path := name + "." + fieldName
	return &types.FieldType{
		Type:  f.typ,
		IsSet: func(v any) bool { return isSet(f, v) },
		GetFrom: func(v any) (any, error) {
			out, known := f.get(v)
			if !known {
				return nil, notKnownError(path)
			}
			return out, nil
		},
	}, true
}

// NewValue implements types.Provider. Conditions read objects, they don't
// make any.
func (p provider) NewValue(name string, fields map[string]ref.Val) ref.Val {
	if _, ok := objects[name]; ok {
		return types.NewErr("a condition can't make a %s", name)
	}
	return p.Registry.NewValue(name, fields)
}

// NativeToValue implements types.Adapter.
func (p provider) NativeToValue(v any) ref.Val {
	if n := objectName(v); n != "" {
		return whole{name: n, v: v}
	}
	return p.Registry.NativeToValue(v)
}

// isSet is what has() says: known and not empty.
func isSet(f field, v any) bool {
	out, known := f.get(v)
	if !known {
		return false
	}
	r := reflect.ValueOf(out)
	return r.Kind() == reflect.Bool || !r.IsZero() && (r.Kind() != reflect.Map || r.Len() > 0)
}

// notKnownError says that an object's field has no value in this event.
type notKnownError string

// Error implements error.
func (e notKnownError) Error() string { return string(e) + " is not known" }

// whole is an object used as a value of its own, not for one of its fields.
type whole struct {
	name string
	v    any
}

// ConvertToNative implements ref.Val.
func (w whole) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("%s can't be converted to %s", w.name, t)
}

// ConvertToType implements ref.Val.
func (w whole) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return types.NewObjectType(w.name)
	}
	return types.NewErr("%s can't be converted to %s", w.name, t.TypeName())
}

// Equal implements ref.Val.
func (w whole) Equal(other ref.Val) ref.Val {
	o, ok := other.(whole)
	return types.Bool(ok && o == w)
}

// Type implements ref.Val.
func (w whole) Type() ref.Type { return types.NewObjectType(w.name) }

// Value implements ref.Val.
func (w whole) Value() any { return w.v }
