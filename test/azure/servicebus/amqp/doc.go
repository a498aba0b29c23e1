// Package amqp is the part of AMQP 1.0 (OASIS standard, ISO/IEC 19464) that a
// server needs: the type system, the frames, the performatives and the sections
// of a message. It keeps no state and does no input or output beyond reading
// and building frames.
//
// Decoding is liberal: every encoding of every type is understood, trailing
// fields may be missing, unknown ones are ignored. It is bounded too: no input
// makes it allocate more than a small multiple of its own length, nest deeper
// than 32 levels, or panic.
package amqp
