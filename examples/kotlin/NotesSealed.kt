package notes

import dev.sealwire.Policy
import dev.sealwire.okhttp.sealwire
import okhttp3.OkHttpClient
import okhttp3.Request
import okhttp3.RequestBody.Companion.toRequestBody

/** A client of a notes service: writes a note, and reads it again. */
fun main(arguments: Array<String>) {
    val (origin, note, pin) = arguments
    val http = OkHttpClient.Builder()
        .sealwire(Policy(origin, pin))
        .build()

    val write = Request.Builder().url("$origin/notes/17").put(note.toRequestBody()).build()
    http.newCall(write).execute().use { check(it.isSuccessful) { "not written: ${it.code}" } }

    val read = Request.Builder().url("$origin/notes/17").build()
    http.newCall(read).execute().use { println(it.body.string()) }
}
