//! Moving objects: ranged gets, the writer and the reader, codec, copy.
