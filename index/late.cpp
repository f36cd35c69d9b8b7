// How well the tokens of a question are found among those of passages: index/late.py has what that means.
//
// One pass over the tokens as they are kept. numpy needs several, each with an array of floats of its own, and
// what it multiplies fast it multiplies on all cores, which waits for whoever holds one.

#include "arrays.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "distances.h"

namespace {

constexpr size_t BLOCK = 12;  // tokens; two neighbouring blocks are about a sentence

// Vectors of eight-bit numbers.
struct Codes {
    const int8_t* values;
    size_t dim;

    static size_t width(size_t dim) { return dim; }
    void read(size_t token, float* into) const { std::copy_n(values + token * dim, dim, into); }
};

// Vectors of two bits a number, the quarters of a vector one above the other.
struct Packed {
    const uint8_t* values;
    size_t dim;

    static size_t width(size_t dim) { return (dim + 3) / 4; }
    void read(size_t token, float* into) const {
        const size_t quarter = width(dim);
        const uint8_t* row = values + token * quarter;
        for (size_t part = 0; part < 4; ++part) {
            const size_t first = part * quarter, last = std::min(first + quarter, dim);
            for (size_t i = first; i < last; ++i)
                into[i] = static_cast<float>(2 * (row[i - first] >> 2 * part & 3) - 3);
        }
    }
};

struct Question {
    const float* vectors;  // of length 1
    const float* weights;
    size_t tokens, dim;

    float weigh(const std::vector<float>& cosines) const {
        float sum = 0;
        for (size_t token = 0; token < tokens; ++token) sum += cosines[token] * weights[token];
        return sum;
    }
};

void raise(std::vector<float>& highest, const std::vector<float>& values) {
    for (size_t i = 0; i < values.size(); ++i) highest[i] = std::max(highest[i], values[i]);
}

// The score of the passage that has the tokens from `first` to `last`.
template <typename Tokens>
float score(const Question& question, const Tokens& tokens, size_t first, size_t last) {
    if (first == last || !question.tokens) return -1;
    constexpr float LOWEST = std::numeric_limits<float>::lowest();
    const std::vector<float> nothing(question.tokens, LOWEST);
    std::vector<float> token(question.dim), before = nothing, anywhere = nothing;
    float near = LOWEST;
    for (size_t begin = first; begin < last; begin += BLOCK) {
        std::vector<float> block = nothing;
        for (size_t at = begin; at < std::min(begin + BLOCK, last); ++at) {
            tokens.read(at, token.data());
            const float square = KERNELS.dot(token.data(), token.data(), question.dim);
            const float length = std::max(std::sqrt(square), std::numeric_limits<float>::min());
            for (size_t i = 0; i < question.tokens; ++i)
                block[i] = std::max(
                    block[i], KERNELS.dot(question.vectors + i * question.dim, token.data(), question.dim) / length);
        }
        raise(anywhere, block);
        raise(before, block);  // of two neighbours
        if (begin > first || last - first <= BLOCK) near = std::max(near, question.weigh(before));
        before = block;
    }
    return std::clamp((question.weigh(anywhere) + near) / 2, -1.0f, 1.0f);
}

template <typename Tokens, typename Value>
PyObject* give_scores(PyObject* args) {
    Array<const float> vectors, weights;
    Array<const Value> values;
    Array<const int32_t> offsets;
    Array<float> scores;
    if (!PyArg_ParseTuple(args, "y*y*y*y*w*", vectors.view(), weights.view(), values.view(), offsets.view(),
                          scores.view()))
        return nullptr;
    const size_t tokens = weights.size(), dim = tokens ? vectors.size() / tokens : 0;
    if (offsets.size() != scores.size() + 1 || vectors.size() != tokens * dim) {
        PyErr_SetString(PyExc_ValueError, "arrays do not fit each other");
        return nullptr;
    }
    const int32_t* bounds = offsets.data();
    const auto most = static_cast<int32_t>(dim ? values.size() / Tokens::width(dim) : 0);
    if (dim && (bounds[0] < 0 || !std::is_sorted(bounds, bounds + offsets.size()) || bounds[scores.size()] > most)) {
        PyErr_SetString(PyExc_ValueError, "passages lie outside of the tokens");
        return nullptr;
    }
    const Question question{vectors.data(), weights.data(), tokens, dim};
    const bool done = run([&] {
        const Tokens found{values.data(), dim};
        for (size_t passage = 0; passage < scores.size(); ++passage)
            scores.data()[passage] = score(question, found, bounds[passage], bounds[passage + 1]);
    });
    if (!done) return nullptr;
    Py_RETURN_NONE;
}

PyObject* py_codes(PyObject*, PyObject* args) { return give_scores<Codes, int8_t>(args); }
PyObject* py_packed(PyObject*, PyObject* args) { return give_scores<Packed, uint8_t>(args); }

PyMethodDef METHODS[] = {{"score_codes", py_codes, METH_VARARGS, nullptr},
                         {"score_packed", py_packed, METH_VARARGS, nullptr},
                         {}};

}  // namespace

PyMODINIT_FUNC PyInit__late() {
    static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_late", nullptr, -1, METHODS};
    return PyModule_Create(&module);
}
