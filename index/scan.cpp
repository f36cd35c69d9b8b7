// Exact search over rows that lie in blocks: the best of all, the scores of some, and which are of some documents.
//
// numpy does the same in several passes, each with an array of its own, and gives Python's lock away in every
// one of them, also where it takes a microsecond: beside busy threads that costs more than the work. A scan here
// is one pass that keeps the best rows as it goes.
//
// A score is higher for what is nearer: the cosine of vectors of length 1, the dot product, or the negative
// Euclidean distance. What takes rows away meanwhile may be seen or not.

#include "arrays.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <deque>
#include <mutex>
#include <vector>

#include "distances.h"
#include "ranking.h"
#include "threads.h"

namespace {

enum Metric { COSINE, DOT, L2 };

struct Block {
    const int64_t* seqs;
    const float* vectors;
    const bool* live;
    size_t rows;

    // Where the seq stands; `rows` if it is not here.
    size_t place_of(int64_t seq) const {
        const auto span = static_cast<size_t>(seqs[rows - 1] - seqs[0]) + 1;
        if (span == rows) return static_cast<size_t>(seq - seqs[0]);  // no gaps
        const auto place = static_cast<size_t>(std::lower_bound(seqs, seqs + rows, seq) - seqs);
        return place < rows && seqs[place] == seq ? place : rows;
    }
};

constexpr size_t CACHE_LINE = 64 / sizeof(float);

struct Query {
    const float* vector;
    size_t dim;
    long metric;

    void fetch(const Block& block, size_t row) const {
        const float* other = block.vectors + row * dim;
        for (size_t i = 0; i < dim; i += CACHE_LINE) __builtin_prefetch(other + i);
    }

    float score(const Block& block, size_t row) const {
        const float* other = block.vectors + row * dim;
        if (metric == L2) return -std::sqrt(KERNELS.square(vector, other, dim));
        const float dot = KERNELS.dot(vector, other, dim);
        return metric == COSINE ? std::clamp(dot, -1.0f, 1.0f) : dot;
    }
};

constexpr size_t STRETCH = 1024;  // rows that a thread takes at a time
constexpr size_t AHEAD = 3;       // rows that are on their way from memory while one is scored

std::vector<Scored> scan(const std::vector<Block>& blocks, const Query& query, size_t k, size_t threads) {
    std::vector<std::pair<const Block*, size_t>> stretches;  // and their first rows
    for (const Block& block : blocks)
        for (size_t row = 0; row < block.rows; row += STRETCH) stretches.emplace_back(&block, row);
    std::atomic<size_t> next{0};
    Best best(k);
    std::mutex joining;
    share(std::min(threads, stretches.size()), [&] {
        Best mine(k);
        std::vector<size_t> rows;
        for (size_t number = next++; number < stretches.size(); number = next++) {
            const auto [block, first] = stretches[number];
            rows.clear();
            for (size_t row = first; row < std::min(first + STRETCH, block->rows); ++row)
                if (block->live[row]) rows.push_back(row);
            for (size_t n = 0; n < rows.size(); ++n) {
                if (n + AHEAD < rows.size()) query.fetch(*block, rows[n + AHEAD]);
                mine.show({query.score(*block, rows[n]), block->seqs[rows[n]]});
            }
        }
        const std::lock_guard<std::mutex> one(joining);
        best.show(mine);
    });
    return best.in_order();
}

std::vector<Scored> score(const std::vector<Block>& blocks, const Query& query, const int64_t* seqs, size_t count) {
    std::vector<int64_t> wanted(seqs, seqs + count);
    std::sort(wanted.begin(), wanted.end());
    std::vector<Scored> found;
    auto seq = wanted.begin();
    for (const Block& block : blocks) {
        seq = std::lower_bound(seq, wanted.end(), block.seqs[0]);
        for (; seq != wanted.end() && *seq <= block.seqs[block.rows - 1]; ++seq) {
            const size_t place = block.place_of(*seq);
            if (place < block.rows && block.live[place]) found.push_back({query.score(block, place), *seq});
        }
    }
    std::sort(found.begin(), found.end(), is_better);
    return found;
}

// ---- which rows are of some documents

struct Keyed {
    const int64_t* seqs;
    const int64_t* documents;
    const bool* live;
    size_t rows;
};

// Marks the rows that count and are of one of the documents; their seqs, and how many they are.
size_t match(const std::vector<Keyed>& blocks, const Among& documents, bool* live, int64_t* seqs) {
    size_t found = 0;
    for (const Keyed& block : blocks)
        for (size_t row = 0; row < block.rows; ++row) {
            const bool counts = block.live[row] & documents.has(block.documents[row]);
            *live++ = counts;
            seqs[found] = block.seqs[row];  // kept if it counts; a jump would be guessed wrong half of the time
            found += counts;
        }
    return found;
}

// ---- Python

// The arrays of all blocks, for as long as they are looked at: seqs, so many more of type T for each, and whether
// they count.
template <typename Row, typename T>
class Blocks {
  public:
    // False, with Python's error set, if they are not what they should be.
    bool take(PyObject* given, size_t each) {
        const Py_ssize_t count = PySequence_Size(given);
        for (Py_ssize_t number = 0; number < count; ++number) {
            PyObject* block = PySequence_GetItem(given, number);
            const bool taken = block && take_one(block, each);
            Py_XDECREF(block);
            if (!taken) return false;
        }
        return count >= 0;
    }

    const std::vector<Row>& all() const { return blocks_; }
    size_t rows() const { return rows_; }

  private:
    struct Arrays {
        Array<const int64_t> seqs;
        Array<const T> more;
        Array<const bool> live;
    };

    bool take_one(PyObject* block, size_t each) {
        Arrays& arrays = arrays_.emplace_back();
        if (!PyArg_ParseTuple(block, "y*y*y*", arrays.seqs.view(), arrays.more.view(), arrays.live.view()))
            return false;
        const size_t rows = arrays.seqs.size();
        if (!rows || arrays.live.size() != rows || arrays.more.size() != rows * each) {
            PyErr_SetString(PyExc_ValueError, "the arrays of a block do not fit each other");
            return false;
        }
        blocks_.push_back({arrays.seqs.data(), arrays.more.data(), arrays.live.data(), rows});
        rows_ += rows;
        return true;
    }

    std::deque<Arrays> arrays_;  // which stay where they are
    std::vector<Row> blocks_;
    size_t rows_ = 0;
};

// Writes what was found, best first, into a caller's arrays; how many rows that is.
PyObject* give(const std::vector<Scored>& found, Array<int64_t>& seqs, Array<float>& scores) {
    const size_t rows = std::min({found.size(), seqs.size(), scores.size()});
    for (size_t row = 0; row < rows; ++row) {
        seqs.data()[row] = found[row].seq;
        scores.data()[row] = found[row].score;
    }
    return PyLong_FromSize_t(rows);
}

PyObject* py_top(PyObject*, PyObject* args) {
    PyObject* given;
    Array<const float> vector;
    Array<int64_t> seqs;
    Array<float> scores;
    long metric;
    Py_ssize_t threads;
    if (!PyArg_ParseTuple(args, "Oly*nw*w*", &given, &metric, vector.view(), &threads, seqs.view(), scores.view()))
        return nullptr;
    Blocks<Block, float> blocks;
    if (!blocks.take(given, vector.size())) return nullptr;
    if (!seqs.size()) return PyLong_FromLong(0);
    const Query query{vector.data(), vector.size(), metric};
    std::vector<Scored> found;
    if (!run([&] { found = scan(blocks.all(), query, seqs.size(), threads); })) return nullptr;
    return give(found, seqs, scores);
}

// Keeps Python's lock: it is asked for a few rows, and to wait for the lock again would take longer.
PyObject* py_score(PyObject*, PyObject* args) {
    PyObject* given;
    Array<const float> vector;
    Array<const int64_t> wanted;
    Array<int64_t> seqs;
    Array<float> scores;
    long metric;
    if (!PyArg_ParseTuple(args, "Oly*y*w*w*", &given, &metric, vector.view(), wanted.view(), seqs.view(),
                          scores.view()))
        return nullptr;
    Blocks<Block, float> blocks;
    if (!blocks.take(given, vector.size())) return nullptr;
    const Query query{vector.data(), vector.size(), metric};
    std::vector<Scored> found;
    if (!guard([&] { found = score(blocks.all(), query, wanted.data(), wanted.size()); })) return nullptr;
    return give(found, seqs, scores);
}

PyObject* py_match(PyObject*, PyObject* args) {
    PyObject* given;
    Array<const int64_t> documents;
    Array<bool> live;
    Array<int64_t> seqs;
    if (!PyArg_ParseTuple(args, "Oy*w*w*", &given, documents.view(), live.view(), seqs.view())) return nullptr;
    Blocks<Keyed, int64_t> blocks;
    if (!blocks.take(given, 1)) return nullptr;
    if (live.size() != blocks.rows() || seqs.size() != blocks.rows()) {
        PyErr_SetString(PyExc_ValueError, "there must be room for every row");
        return nullptr;
    }
    size_t found = 0;
    const bool done = run([&] {
        found = match(blocks.all(), Among(documents.data(), documents.size()), live.data(), seqs.data());
    });
    return done ? PyLong_FromSize_t(found) : nullptr;
}

PyMethodDef METHODS[] = {{"top", py_top, METH_VARARGS, nullptr},
                         {"score", py_score, METH_VARARGS, nullptr},
                         {"match", py_match, METH_VARARGS, nullptr},
                         {}};

}  // namespace

PyMODINIT_FUNC PyInit__scan() {
    static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_scan", nullptr, -1, METHODS};
    PyObject* made = PyModule_Create(&module);
    for (const auto& [name, metric] : {std::pair{"COSINE", COSINE}, {"DOT", DOT}, {"L2", L2}})
        if (made && PyModule_AddIntConstant(made, name, metric) < 0) Py_CLEAR(made);
    return made;
}
