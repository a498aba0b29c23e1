package amqp

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// composites by the low half of their numeric descriptor. A struct's fields,
// in order, are the fields of the composite type's list. A pointer, slice, map
// or interface that is nil is null, and so is the zero value of a string, a
// Symbol or a time; false and 0 are written as such unless they are trailing.
var composites = map[uint64]func() any{
	0x10: func() any { return new(Open) },
	0x11: func() any { return new(Begin) },
	0x12: func() any { return new(Attach) },
	0x13: func() any { return new(Flow) },
	0x14: func() any { return new(Transfer) },
	0x15: func() any { return new(Disposition) },
	0x16: func() any { return new(Detach) },
	0x17: func() any { return new(End) },
	0x18: func() any { return new(Close) },
	0x1d: func() any { return new(Error) },
	0x23: func() any { return new(Received) },
	0x24: func() any { return new(Accepted) },
	0x25: func() any { return new(Rejected) },
	0x26: func() any { return new(Released) },
	0x27: func() any { return new(Modified) },
	0x28: func() any { return new(Source) },
	0x29: func() any { return new(Target) },
	0x30: func() any { return new(Coordinator) },
	0x40: func() any { return new(SASLMechanisms) },
	0x41: func() any { return new(SASLInit) },
	0x44: func() any { return new(SASLOutcome) },
	0x70: func() any { return new(Header) },
	0x73: func() any { return new(Properties) },
}

// names are the symbolic descriptors that some clients send instead.
var names = map[Symbol]uint64{
	"amqp:open:list": 0x10, "amqp:begin:list": 0x11, "amqp:attach:list": 0x12,
	"amqp:flow:list": 0x13, "amqp:transfer:list": 0x14, "amqp:disposition:list": 0x15,
	"amqp:detach:list": 0x16, "amqp:end:list": 0x17, "amqp:close:list": 0x18,
	"amqp:error:list": 0x1d, "amqp:received:list": 0x23, "amqp:accepted:list": 0x24,
	"amqp:rejected:list": 0x25, "amqp:released:list": 0x26, "amqp:modified:list": 0x27,
	"amqp:source:list": 0x28, "amqp:target:list": 0x29, "amqp:coordinator:list": 0x30,
	"amqp:sasl-mechanisms:list": 0x40, "amqp:sasl-init:list": 0x41, "amqp:sasl-outcome:list": 0x44,
	"amqp:header:list": 0x70, "amqp:delivery-annotations:map": 0x71,
	"amqp:message-annotations:map": 0x72, "amqp:properties:list": 0x73,
	"amqp:application-properties:map": 0x74, "amqp:data:binary": 0x75,
	"amqp:amqp-sequence:list": 0x76, "amqp:amqp-value:*": 0x77, "amqp:footer:map": 0x78,
}

// codes is composites turned round.
var codes = func() map[reflect.Type]uint64 {
	m := make(map[reflect.Type]uint64, len(composites))
	for code, make := range composites {
		m[reflect.TypeOf(make()).Elem()] = code
	}
	return m
}()

// typeOf is the struct that a composite points to, or nil.
func typeOf(c any) reflect.Type {
	if t := reflect.TypeOf(c); t != nil && t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return nil
}

// descriptorCode is a numeric or symbolic descriptor as a number; ok is false
// for descriptors that the standard does not know.
func descriptorCode(d any) (code uint64, ok bool) {
	switch d := d.(type) {
	case uint64:
		return d, true
	case Symbol:
		code, ok = names[d]
		return code, ok
	}
	return 0, false
}

// Composite turns a described list into a pointer to its struct (*Open,
// *Attach, *Accepted, ...). What is none of the known types comes back as it is.
func Composite(v any) (any, error) {
	d, ok := v.(*Described)
	if !ok {
		return v, nil
	}
	code, _ := descriptorCode(d.Descriptor)
	make, known := composites[code]
	if !known {
		return v, nil
	}
	list, ok := d.Value.(List)
	if !ok {
		return nil, fmt.Errorf("amqp: %v describes a %T, not a list", d.Descriptor, d.Value)
	}
	c := make()
	return c, fill(reflect.ValueOf(c).Elem(), list)
}

// fill sets a struct's fields from a list; what is missing stays zero.
func fill(s reflect.Value, list List) error {
	for i := range min(s.NumField(), len(list)) {
		if list[i] == nil {
			continue
		}
		if err := setField(s.Field(i), list[i]); err != nil {
			return fmt.Errorf("amqp: %s.%s: %w", s.Type().Name(), s.Type().Field(i).Name, err)
		}
	}
	return nil
}

// setField converts what was decoded to what the field holds.
func setField(f reflect.Value, v any) error {
	if f.Kind() == reflect.Pointer && f.Type().Elem().Kind() != reflect.Struct {
		f.Set(reflect.New(f.Type().Elem()))
		return setField(f.Elem(), v)
	}
	v, err := Composite(v)
	if err != nil {
		return err
	}
	if f.Type() == reflect.TypeFor[[]Symbol]() {
		return setSymbols(f, v)
	}
	switch got := reflect.ValueOf(v); {
	case got.Type().AssignableTo(f.Type()):
		f.Set(got)
	case f.Kind() == reflect.String && isName(v):
		f.SetString(Text(v))
	case f.CanUint() && got.CanUint() && !f.OverflowUint(got.Uint()):
		f.SetUint(got.Uint())
	default:
		return fmt.Errorf("unexpected %T", v)
	}
	return nil
}

// setSymbols takes an array, a list or a single symbol.
func setSymbols(f reflect.Value, v any) error {
	var out []Symbol
	for _, e := range Elements(v) {
		if !isName(e) {
			return fmt.Errorf("unexpected %T", e)
		}
		out = append(out, Symbol(Text(e)))
	}
	f.Set(reflect.ValueOf(out))
	return nil
}

// AppendComposite encodes a pointer to one of the composite structs.
func AppendComposite(dst []byte, c any) []byte { return Append(dst, describe(c)) }

// describe turns a composite into a described list.
func describe(c any) *Described {
	s := reflect.ValueOf(c).Elem()
	list := make(List, s.NumField())
	last := 0
	for i := range list {
		f := s.Field(i)
		list[i] = fieldValue(f)
		if list[i] != nil && (!f.IsZero() || f.Kind() == reflect.Pointer) {
			last = i + 1
		}
	}
	code, ok := codes[s.Type()]
	if !ok {
		panic(fmt.Sprintf("amqp: %T is not a composite type", c))
	}
	list = list[:max(last, mandatory[code])]
	return &Described{Descriptor: code, Value: list}
}

// Format writes a composite for people: its name and the fields that are set.
func Format(c any) string {
	s := reflect.Indirect(reflect.ValueOf(c))
	if s.Kind() != reflect.Struct {
		return fmt.Sprint(c)
	}
	var fields []string
	for i := range s.NumField() {
		v := fieldValue(s.Field(i))
		if v == nil || v == false {
			continue
		}
		if _, nested := v.(*Described); nested {
			v = Format(s.Field(i).Interface())
		}
		fields = append(fields, fmt.Sprintf("%s:%v", s.Type().Field(i).Name, v))
	}
	return s.Type().Name() + "{" + strings.Join(fields, " ") + "}"
}

// mandatory is how many leading fields are written even where they are zero or
// null: some clients insist on them, as on all that Azure writes.
var mandatory = map[uint64]int{0x10: 1, 0x11: 4, 0x12: 3, 0x13: 4, 0x14: 1, 0x15: 2, 0x16: 1, 0x1d: 3, 0x44: 1, 0x70: 5}

// fieldValue is the AMQP value of a struct's field.
func fieldValue(f reflect.Value) any {
	switch f.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Map:
		if f.IsNil() {
			return nil
		}
	case reflect.String:
		if f.Len() == 0 {
			return nil
		}
	}
	if f.Kind() == reflect.Pointer && f.Type().Elem().Kind() != reflect.Struct {
		return f.Elem().Interface()
	}
	switch v := f.Interface().(type) {
	case []Symbol:
		a := make(Array, len(v))
		for i, s := range v {
			a[i] = s
		}
		return a
	case time.Time:
		if v.IsZero() {
			return nil
		}
	}
	if f.Kind() == reflect.Interface {
		f = f.Elem()
	}
	if f.Kind() == reflect.Pointer {
		if _, ok := codes[f.Type().Elem()]; ok {
			return describe(f.Interface())
		}
	}
	return f.Interface()
}
