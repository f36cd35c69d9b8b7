// Arrays of Python callers, and work without Python's lock.

#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstddef>
#include <exception>
#include <new>

namespace {

// A contiguous array of a caller's, given back at the end.
template <typename T>
class Array {
  public:
    Array() = default;
    ~Array() {
        if (given()) PyBuffer_Release(&view_);
    }
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;

    Py_buffer* view() { return &view_; }
    bool given() const { return view_.obj != nullptr; }  // and not None
    T* data() const { return static_cast<T*>(view_.buf); }
    size_t size() const { return static_cast<size_t>(view_.len) / sizeof(T); }

  private:
    Py_buffer view_{};
};

// Runs `work`; false, with Python's error set, if it fails.
template <typename Work>
bool guard(Work work) {
    try {
        work();
        return true;
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return false;
}

// The same, without Python's lock meanwhile.
template <typename Work>
bool run(Work work) {
    return guard([&] {
        struct Unlocked {
            PyThreadState* state = PyEval_SaveThread();
            ~Unlocked() { PyEval_RestoreThread(state); }
        } unlocked;
        work();
    });
}

}  // namespace
